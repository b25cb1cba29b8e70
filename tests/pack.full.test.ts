/**
 * Selective install: each package packed, installed alone in an empty folder, its README example run as ESM and CommonJS.
 * It tests what is built: `npm run test:full` builds with types first.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from './architecture/sources.js';

const run = promisify(execFile);

/** Without NODE_PATH: pnpm's shims set it, and `require` would then find the workspace's packages. */
function execute(command: string, args: readonly string[], { cwd }: { readonly cwd: string }): Promise<{ stdout: string; stderr: string }> {
  const env = { ...process.env };
  delete env['NODE_PATH'];
  return run(command, args, { cwd, env });
}

const packages = ['kernels', 'core', 'graph-io', 'quantize', 'compress', 'distill', 'parallel', 'runtime', 'recipe'] as const;

/** What a README example does not show: the entries that start threads or load a peer only when it is there. */
const MORE: Readonly<Partial<Record<(typeof packages)[number], string>>> = {
  // 4 MiB in two threads: the worker is found beside the bundle, in both formats.
  'graph-io': `
    import { existsSync, readFileSync, rmSync } from 'node:fs';
    import { createHash } from 'node:crypto';
    import { DenseTensor, lazy } from '@penjing/core';
    import { safetensorsLayout } from '@penjing/graph-io';
    import { saveFile } from '@penjing/graph-io/node';
    const weight = DenseTensor.of('float32', [1024, 1024], Float32Array.from({ length: 2 ** 20 }, (_, i) => Math.sin(i)));
    await saveFile('w.safetensors', safetensorsLayout({ tensors: new Map([['w', lazy.cast(weight, 'float16')]]), metadata: new Map() }), { threads: 2, force: true });
    console.log(createHash('sha256').update(readFileSync('w.safetensors')).digest('hex'), existsSync('w.safetensors.penjing'));
    rmSync('w.safetensors');`,
  // Conversion needs no runtime; what has to run a model says which package is missing.
  recipe: `
    import { compareInputs, runRecipe } from '@penjing/recipe';
    const { records, check } = await runRecipe({ input: SAPLING, output: 'out', steps: [{ convert: {} }, { quantize: { bits: 4 } }] }, { force: true });
    console.log(records.length, check.text);
    console.log(await compareInputs({ reference: { path: 'out', variant: 'q4' }, model: { path: 'out', variant: 'q4' } }).catch(({ code, hint }) => [code, hint]));`,
};

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
    // Only runtime needs ONNX Runtime (288 MB); its own install script, which fetches CUDA libraries, does not run.
    await execute('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', '--omit=optional'], { cwd: folder });
  }, 300_000);

  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** The output of an ES module, after a check that the same text as CommonJS prints the same. */
  async function runBoth(example: string): Promise<string> {
    const js = ts.transpileModule(example, { compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext } }).outputText;
    await writeFile(join(folder, 'example.mjs'), js);
    await writeFile(join(folder, 'example.cjs'), toCommonJs(js));
    const esm = await execute(process.execPath, ['example.mjs'], { cwd: folder });
    const cjs = await execute(process.execPath, ['example.cjs'], { cwd: folder });
    expect(cjs).toEqual(esm);
    return esm.stdout;
  }

  test('its README example runs as ESM and as CommonJS', async () => {
    const readme = await readFile(join(root, 'packages', name, 'README.md'), 'utf8');
    const example = /```(?:js|ts)\n([\s\S]*?)```/.exec(readme)?.[1];
    expect(example, 'a js or ts block in the README').toBeDefined();
    expect(await runBoth(example!)).not.toBe('');
  });

  test('every entry exports the same names to import and require', async () => {
    const { exports } = JSON.parse(await readFile(join(folder, 'node_modules', '@penjing', name, 'package.json'), 'utf8')) as { exports: Record<string, unknown> };
    for (const entry of Object.keys(exports).filter((key) => !key.endsWith('.json'))) {
      const specifier = JSON.stringify(`@penjing/${name}${entry.slice(1)}`);
      const script = `import(${specifier}).then((esm) => { const cjs = require(${specifier}); const names = Object.keys(esm).filter((key) => key !== 'default' && key !== 'module.exports'); console.log(JSON.stringify([names.sort(), Object.keys(cjs).sort()])); })`;
      const { stdout } = await execute(process.execPath, ['--input-type=commonjs', '-e', script], { cwd: folder });
      const [esm, cjs] = JSON.parse(stdout) as [string[], string[]];
      expect(cjs).toEqual(esm);
    }
  });

  test.runIf(MORE[name])('what starts threads or has optional peers works too', async () => {
    const output = await runBoth(MORE[name]!.replace(/^ {4}/gm, '').replace('SAPLING', JSON.stringify(join(root, 'models', 'sapling'))));
    expect(output).toMatch(name === 'graph-io' ? /^[0-9a-f]{64} false\n$/ : /^\d+ not loaded: @penjing\/runtime is not installed\n\[ 'E_RUNTIME_MISSING', 'npm install @penjing\/runtime' \]\n$/);
  });

  test.runIf(PURE.has(name))('it brings no native code', async () => {
    const installed = await readdir(join(folder, 'node_modules'), { recursive: true });
    expect(installed.filter((path) => path.endsWith('.node') || path.includes('onnxruntime-node'))).toEqual([]);
  });

  test('publint and arethetypeswrong find nothing', async () => {
    const bin = join(root, 'tests', 'node_modules', '.bin');
    await execute(join(bin, 'publint'), ['--strict', files.get(name)!], { cwd: root });
    const { stdout } = await execute(join(bin, 'attw'), [files.get(name)!, '--profile', 'node16', '--format', 'json'], { cwd: root });
    // attw is content with a package without types.
    expect((JSON.parse(stdout) as { analysis: { types: unknown } }).analysis.types).toBeTruthy();
  });
});

/** Top-level `import { … } from` becomes require; top-level await moves into a function. */
function toCommonJs(js: string): string {
  const imports: string[] = [];
  const body = js.replace(/^import \{([^}]*)\} from ('[^']+'|"[^"]+");?(?: *\/\/.*)?$/gm, (_, names: string, from: string) => {
    imports.push(`const {${names.replace(/ as /g, ': ')}} = require(${from});`);
    return '';
  });
  return `${imports.join('\n')}\n(async () => {\n${body.replace(/^export \{\};$/m, '')}\n})().catch((error) => { console.error(error); process.exitCode = 1; });\n`;
}
