/**
 * The official ONNX checker accepts every file we write: peers/check_onnx.py on each form of the embedded model and of
 * stories260K. It runs where a Python with the `onnx` package is (PENJING_PYTHON, or python3); Penjing itself needs none.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type RecipeStep, runRecipe } from '@penjing/recipe';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { root } from './architecture/sources.js';
import { testData } from './tools/test-data.js';

const execute = promisify(execFile);
const python = process.env['PENJING_PYTHON'] ?? 'python3';
const checker = await execute(python, ['-c', 'import onnx']).then(() => true, () => false);

const FORMS: Readonly<Record<string, readonly RecipeStep[]>> = {
  fp32: [{ convert: {} }],
  standard: [{ convert: { attention: 'standard' } }],
  fp16: [{ convert: { dtype: 'float16' } }],
  'fp16 standard': [{ convert: { dtype: 'float16', attention: 'standard' } }],
  stored16: [{ convert: {} }, { cast: { dtype: 'float16' } }],
  q4f16: [{ convert: { dtype: 'float16' } }, { quantize: { bits: 4 } }],
  ...Object.fromEntries(
    ([2, 4, 8] as const).flatMap((bits) =>
      [true, false].map((symmetric) => [`q${bits} ${symmetric ? 'symmetric' : 'asymmetric'}`, [{ convert: {} }, { quantize: { bits, symmetric } }]]),
    ),
  ),
  ...Object.fromEntries(
    ([4, 8] as const).flatMap((bits) =>
      [true, false].map((symmetric) => [`qdq${bits} ${symmetric ? 'symmetric' : 'asymmetric'}`, [{ convert: { attention: 'standard' } }, { quantize: { bits, symmetric, format: 'qdq' } }]]),
    ),
  ),
};

let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-checker-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

const inputs = [['sapling', join(root, 'models', 'sapling')], ...(testData ? [['stories260K', join(testData, 'models', 'stories260k', 'hf')]] : [])] as [string, string][];

test.skipIf(!checker).each(inputs)('%s (needs Python with onnx)', async (_name, input) => {
  const paths: string[] = [];
  for (const externalData of ['auto', 'always'] as const) {
    for (const [form, steps] of Object.entries(FORMS)) {
      const output = await mkdtemp(join(folder, `${form.replace(' ', '-')}-`));
      await runRecipe({ input, output: join(output, 'model'), steps }, { check: false, externalData });
      const graphs = join(output, 'model', 'onnx');
      paths.push(...(await readdir(graphs)).filter((name) => name.endsWith('.onnx')).map((name) => join(graphs, name)));
    }
  }
  expect(paths).toHaveLength(2 * Object.keys(FORMS).length);
  const { stdout } = await execute(python, [join(root, 'peers', 'check_onnx.py'), ...paths], { maxBuffer: 2 ** 26 }).catch((error: { stdout: string }) => error);
  const lines = stdout.trim().split('\n').map((line) => JSON.parse(line) as { path: string; ok: boolean; error: string | null });
  expect(lines.filter(({ ok }) => !ok)).toEqual([]);
  expect(lines).toHaveLength(paths.length);
});
