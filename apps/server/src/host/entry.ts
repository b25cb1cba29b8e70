/** Finds what runs in a process or thread: the built file beside this one, or in tests the TypeScript source. */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

export interface Entry {
  readonly url: URL;
  /** For Node, so that it can run the entry. */
  readonly execArgv: readonly string[];
}

/** `name` is a file of this folder without its extension; built, it stands flat beside the entry of the package. */
export function entryOf(name: string): Entry {
  const typescript = new URL(import.meta.url).pathname.endsWith('.ts');
  const url = new URL(`./${name}${typescript ? '.ts' : '.js'}`, import.meta.url);
  if (!typescript) return { url, execArgv: [] };
  const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  return { url, execArgv: ['--conditions=@penjing/source', '--import', loader] };
}
