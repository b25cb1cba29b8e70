/** The built command on Node 24, fetched with npx: the main job on the embedded model. Skipped where it cannot be fetched. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { root } from './architecture/sources.js';

const execute = promisify(execFile);
const sapling = join(root, 'models', 'sapling');

/** Where npx keeps Node 24, or undefined. */
const node24 = await execute('npx', ['--yes', '--prefer-offline', 'node@24', '-p', 'process.execPath'], { timeout: 240_000 }).then(
  ({ stdout }) => stdout.trim(),
  () => undefined,
);

let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-node24-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

async function penjing(node: string, ...args: string[]): Promise<Record<string, unknown>> {
  const { stdout, stderr } = await execute(node, [join(root, 'apps', 'cli', 'dist', 'main.js'), ...args, '--json', '--quiet'], { maxBuffer: 2 ** 26 });
  expect(stderr).toBe('');
  return JSON.parse(stdout) as Record<string, unknown>;
}

test.skipIf(node24 === undefined)('convert, quantize, compare and generate give on Node 24 what they give here (needs npx node@24)', async () => {
  const results: unknown[] = [];
  for (const node of [node24!, process.execPath]) {
    const out = join(folder, node === node24 ? 'there' : 'here');
    await penjing(node, 'convert', sapling, '-o', out);
    await penjing(node, 'quantize', sapling, '-o', out, '--bits', '4');
    const { klDivergence } = await penjing(node, 'compare', out, out, '--variant', 'q4', '--data', join(sapling, 'heldout.txt'), '--max-tokens', '2000');
    const { text } = await penjing(node, 'generate', out, '--variant', 'q4', '--prompt', 'First Citizen:', '-n', '24');
    const files = await Promise.all(['model.onnx', 'model_q4.onnx'].map((name) => readFile(join(out, 'onnx', name), 'base64')));
    results.push({ klDivergence, text, files });
  }
  expect(results[0]).toEqual(results[1]);
});
