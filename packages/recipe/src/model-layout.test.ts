import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RecipeStep, runRecipe, type RunRecipeOptions } from './index.js';

const sapling = join(import.meta.dirname, '..', '..', '..', 'models', 'sapling');
let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-layout-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

const make = (input: string, output: string, steps: RecipeStep[], options: RunRecipeOptions = {}): Promise<unknown> =>
  runRecipe({ input, output, steps }, { check: false, ...options });
const graphs = async (output: string): Promise<string[]> => (await readdir(join(output, 'onnx'))).sort();
const config = async (output: string): Promise<Record<string, unknown>> => JSON.parse(await readFile(join(output, 'config.json'), 'utf8')) as Record<string, unknown>;

test('a graph added to a folder tells transformers.js of its data file and its caches', async () => {
  const out = join(folder, 'added');
  await make(sapling, out, [{ convert: {} }]);
  expect(await config(out)).not.toHaveProperty(['transformers.js_config']);
  await writeFile(join(out, 'config.json'), JSON.stringify({ ...(await config(out)), note: 'mine' }));
  await make(sapling, out, [{ convert: { dtype: 'float16' } }]);
  await make(out, out, [{ quantize: { bits: 4 } }], { externalData: 'always' });
  expect(await config(out)).toMatchObject({
    note: 'mine',
    'transformers.js_config': { use_external_data_format: { 'model_q4.onnx': 1 }, kv_cache_dtype: { fp16: 'float16' } },
  });
});

test('force replaces a graph and keeps the others, even when one of them is the input', async () => {
  const out = join(folder, 'forced');
  await make(sapling, out, [{ convert: {} }]);
  await make(out, out, [{ quantize: { bits: 4 } }]);
  const before = await readFile(join(out, 'onnx', 'model_q4.onnx'));
  await expect(make(out, out, [{ quantize: { bits: 4, blockSize: 64 } }])).rejects.toMatchObject({ code: 'E_EXISTS' });
  await make(out, out, [{ quantize: { bits: 4, blockSize: 64 } }], { force: true });
  expect(await graphs(out)).toEqual(['model.onnx', 'model_q4.onnx']);
  expect((await readFile(join(out, 'onnx', 'model_q4.onnx'))).equals(before)).toBe(false);
});

test('another model does not mix with the one that is there', async () => {
  const [out, other] = [join(folder, 'mixed'), join(folder, 'other')];
  await make(sapling, out, [{ convert: {} }]);
  await cp(sapling, other, { recursive: true });
  await writeFile(join(other, 'config.json'), JSON.stringify({ ...(await config(sapling)), rope_theta: 20000 }));
  await expect(make(other, out, [{ quantize: { bits: 4 } }])).rejects.toMatchObject({ code: 'E_EXISTS' });
  await make(other, out, [{ quantize: { bits: 4 } }], { force: true });
  expect(await graphs(out)).toEqual(['model_q4.onnx']);
});
