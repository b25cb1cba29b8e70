/** Selective install: each package packed, installed alone in an empty folder, its README example run as ESM and CommonJS. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from './architecture/sources.js';

const execute = promisify(execFile);
const packages = ['kernels', 'core', 'graph-io', 'quantize', 'compress', 'distill', 'parallel', 'runtime', 'recipe'] as const;

/** Packages that must bring no native code, whatever they depend on. */
const PURE = new Set<string>(['kernels', 'core', 'graph-io', 'quantize', 'compress', 'distill', 'parallel']);

let tarballs = '';
const files = new Map<string, string>();

beforeAll(async () => {
  tarballs = await mkdtemp(join(tmpdir(), 'penjing-pack-'));
  const { packageManager } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { packageManager: string };
  for (const name of packages) {
    const cwd = join(root, 'packages', name);
    const { stdout } = await execute('npx', ['--yes', packageManager, 'pack', '--json', '--pack-destination', tarballs], { cwd });
    const { filename } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { filename: string };
    files.set(name, filename);
  }
}, 300_000);

afterAll(() => rm(tarballs, { recursive: true, force: true }));

describe.each(packages)('@penjing/%s', (name) => {
  let folder = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), `penjing-install-${name}-`));
    // The siblings it depends on are not published yet: overrides take them from their tarballs too.
    const overrides = Object.fromEntries(packages.filter((other) => other !== name).map((other) => [`@penjing/${other}`, `file:${files.get(other)!}`]));
    await writeFile(
      join(folder, 'package.json'),
      JSON.stringify({ name: 'empty', private: true, dependencies: { [`@penjing/${name}`]: `file:${files.get(name)!}` }, overrides }),
    );
    await execute('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', '--omit=optional'], { cwd: folder });
  }, 300_000);

  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('its README example runs as ESM and as CommonJS', async () => {
    const readme = await readFile(join(root, 'packages', name, 'README.md'), 'utf8');
    const example = /```(?:js|ts)\n([\s\S]*?)```/.exec(readme)?.[1];
    expect(example, 'a js or ts block in the README').toBeDefined();
    const js = ts.transpileModule(example!, { compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext } }).outputText;
    await writeFile(join(folder, 'example.mjs'), js);
    await writeFile(join(folder, 'example.cjs'), toCommonJs(js));
    const esm = await execute(process.execPath, ['example.mjs'], { cwd: folder });
    const cjs = await execute(process.execPath, ['example.cjs'], { cwd: folder });
    expect(esm.stdout).not.toBe('');
    expect(cjs.stdout).toBe(esm.stdout);
  });

  test.runIf(PURE.has(name))('it brings no native code', async () => {
    const installed = await readdir(join(folder, 'node_modules'), { recursive: true });
    expect(installed.filter((path) => path.endsWith('.node') || path.includes('onnxruntime-node'))).toEqual([]);
  });

  test('publint and arethetypeswrong find nothing', async () => {
    const bin = join(root, 'tests', 'node_modules', '.bin');
    await execute(join(bin, 'publint'), ['--strict', files.get(name)!], { cwd: root });
    await execute(join(bin, 'attw'), [files.get(name)!, '--profile', 'node16', '--format', 'json'], { cwd: root });
  });
});

/** Top-level `import { … } from` becomes require; top-level await moves into a function. */
function toCommonJs(js: string): string {
  const imports: string[] = [];
  const body = js.replace(/^import \{([^}]*)\} from ('[^']+'|"[^"]+");?$/gm, (_, names: string, from: string) => {
    imports.push(`const {${names.replace(/ as /g, ': ')}} = require(${from});`);
    return '';
  });
  return `${imports.join('\n')}\n(async () => {\n${body.replace(/^export \{\};$/m, '')}\n})().catch((error) => { console.error(error); process.exitCode = 1; });\n`;
}
