/** Versions of packages as a module finds them: what is computed by others may differ in its last bits. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** `name version` of each; without a version where it is not installed. `from` is the `import.meta.url` of who asks. */
export function packageVersions(from: string, names: readonly string[]): string[] {
  const require = createRequire(from);
  return names.map((name) => {
    try {
      return versionIn(require.resolve(`${name}/package.json`));
    } catch {
      return name;
    }
  });
}

/** `name version` of the package that a module is of; undefined where none is above it. */
export function packageOf(module: string): string | undefined {
  for (let at = new URL('package.json', module); ; at = new URL('../package.json', at)) {
    try {
      return versionIn(at);
    } catch {
      if (at.pathname === '/package.json' || new URL('../package.json', at).href === at.href) return undefined;
    }
  }
}

function versionIn(file: string | URL): string {
  const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly name: string; readonly version: string };
  return `${name} ${version}`;
}
