import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openGguf, openPytorch, openSafetensors } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RecipeStep, runRecipe } from '../index.js';

const root = join(import.meta.dirname, '..', '..', '..', '..');
const sapling = join(root, 'models', 'sapling');
const listing = join(root, 'examples', 'pytorch', 'my-model.pth');
let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-weights-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

const make = (input: string, name: string, steps: RecipeStep[] = []) => runRecipe({ input, output: join(folder, name), steps });

test('a state dict becomes safetensors and back', async () => {
  await make(listing, 'my-model.safetensors');
  await make(join(folder, 'my-model.safetensors'), 'again.pth');
  const [there, back] = [await openSafetensors(await fileSource(join(folder, 'my-model.safetensors'))), await openPytorch(await fileSource(join(folder, 'again.pth')))];
  expect([...back.tensors.keys()].sort()).toEqual([...there.tensors.keys()].sort());
  const weight = await back.tensors.get('layer1.weight')!.load();
  expect(Buffer.from(weight).equals(Buffer.from(await there.tensors.get('layer1.weight')!.load()))).toBe(true);
});

test('int8 state dicts have a record of each weight that was rounded', async () => {
  const { records } = await make(listing, 'int8.pth', [{ quantize: { bits: 8 } }]);
  expect(records.map(({ name, elements }) => [name, elements])).toEqual([['layer1.weight', 5000], ['layer2.weight', 500]]);
  for (const { snrDb, maxError } of records) {
    expect(snrDb).toBeGreaterThan(40);
    expect(maxError).toBeGreaterThan(0);
  }
  await expect(make(listing, 'int4.pth', [{ quantize: { bits: 4 } }])).rejects.toMatchObject({ code: 'E_OPTION' });
  await expect(make(listing, 'blocks.pth', [{ quantize: { bits: 8, blockSize: 32 } }])).rejects.toMatchObject({ code: 'E_OPTION' });
});

test('GGUF takes the tokenizer along, and needs a configuration', async () => {
  const { records } = await make(sapling, 'sapling.gguf', [{ quantize: { bits: 4 } }]);
  expect(records.length).toBeGreaterThan(20);
  const { metadata, tensors } = await openGguf(await fileSource(join(folder, 'sapling.gguf')));
  expect(metadata.get('general.architecture')).toBe('llama');
  expect(metadata.get('tokenizer.ggml.model')).toBe('gpt2');
  expect(tensors.get('blk.0.attn_q.weight')?.type.name).toBe('Q4_0');
  await expect(make(listing, 'none.gguf')).rejects.toMatchObject({ code: 'E_FORMAT' });
});

test.each([['float32', 'F32'], ['float16', 'F16'], ['bfloat16', 'BF16']] as const)('GGUF stores %s as %s', async (weights, type) => {
  await make(sapling, `${weights}.gguf`, [{ convert: { weights } }]);
  const { tensors } = await openGguf(await fileSource(join(folder, `${weights}.gguf`)));
  expect(tensors.get('blk.0.attn_q.weight')?.type.name).toBe(type);
  expect(tensors.get('blk.0.attn_norm.weight')?.type.name).toBe('F32');
});

test('a converted model goes back to the checkpoint that it came from, byte by byte', async () => {
  await make(sapling, 'graphs');
  const stored = await readFile(join(sapling, 'model.safetensors'));
  const { records } = await make(join(folder, 'graphs'), 'back.safetensors', [{ convert: { like: sapling } }]);
  expect((await readFile(join(folder, 'back.safetensors'))).equals(stored)).toBe(true);
  expect(records).toEqual([]);
  await make(join(folder, 'graphs'), 'back.pth', [{ convert: { like: sapling, weights: 'float16' } }]);
  const { tensors } = await openPytorch(await fileSource(join(folder, 'back.pth')));
  expect([...tensors].every(([name, { dtype }]) => name.startsWith('model.') && dtype === 'float16')).toBe(true);
  await expect(make(listing, 'other.safetensors', [{ convert: { like: sapling } }])).rejects.toMatchObject({ code: 'E_WEIGHTS' });
});

test('what rounding to 16 bits changes has a record', async () => {
  await make(listing, 'wide.safetensors');
  const { records } = await make(join(folder, 'wide.safetensors'), 'narrow.safetensors', [{ convert: { weights: 'bfloat16' } }]);
  expect(records.map(({ name, method }) => [name, method])).toContainEqual(['layer1.weight', 'cast bfloat16']);
  for (const { snrDb } of records) expect(snrDb).toBeGreaterThan(45);
});

test('weights in a form that the format has not are refused', async () => {
  await expect(make(sapling, 'int8.gguf', [{ convert: { weights: 'int8' } }])).rejects.toMatchObject({ code: 'E_OPTION' });
  await expect(make(sapling, 'half.tflite', [{ convert: { weights: 'bfloat16' } }])).rejects.toMatchObject({ code: 'E_OPTION' });
});

test('data belongs to a method that reads it; several steps may each have their own', async () => {
  const data = join(sapling, 'heldout.txt');
  for (const steps of [[{ quantize: { samples: 3 } }], [{ quantize: { data } }]] satisfies RecipeStep[][]) {
    await expect(make(sapling, 'rounded', steps)).rejects.toMatchObject({ code: 'E_OPTION' });
  }
  const other = join(folder, 'other.txt');
  await writeFile(other, (await readFile(data, 'utf8')).slice(0, 2000));
  const { records } = await make(sapling, 'twice', [
    { quantize: { method: 'gptq', bits: 8, data, samples: 2, exclude: ['/mlp/'] } },
    { quantize: { method: 'gptq', bits: 4, data: other, samples: 1 } },
  ]);
  const methods = records.filter(({ method }) => method.startsWith('gptq')).map(({ name, method }) => `${/mlp/.test(name) ? 'mlp' : 'other'} ${method.slice(0, 9)}`);
  expect([...new Set(methods)].sort()).toEqual(['mlp gptq int4', 'other gptq int8']);
  await expect(make(sapling, 'missing', [{ quantize: { method: 'gptq', data, samples: 1 } }, { quantize: { method: 'gptq', data: join(folder, 'none.txt') } }])).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
});
