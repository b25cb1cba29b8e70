import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRng, DenseTensor, GraphBuilder, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { runRecipe } from './index.js';
import { compareLayers } from './layer-errors.js';

let folder = '';
const path = (name: string): string => join(folder, name);

/** Four residual layers of 64 features. */
function chain(dtype: 'float32' | 'float16' = 'float32'): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const rng = createRng(1);
  let x = b.input('x', tensorType(dtype, ['batch', 64]));
  if (dtype === 'float16') x = b.op('Cast', [x], { to: 1 });
  for (let i = 0; i < 4; i++) {
    b.scope(`layer.${i}`, () => {
      const w = b.initializer(`w${i}`, DenseTensor.of('float32', [64, 64], Float32Array.from({ length: 4096 }, () => rng.normal() / 8)));
      x = b.op('Add', [x, b.op('Tanh', [b.op('MatMul', [x, w])])]);
    });
  }
  b.output(x, 'y', tensorType('float32', ['batch', 64]));
  return model;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-layers-'));
  await saveFile(path('model.onnx'), serializeOnnx(chain(), { name: 'model.onnx' }));
  await saveFile(path('half.onnx'), serializeOnnx(chain('float16'), { name: 'half.onnx' }));
  await runRecipe({ input: path('model.onnx'), output: path('q4.onnx'), steps: [{ quantize: { bits: 4 } }] }, { check: false });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const compare = (reference: string, model: string): ReturnType<typeof compareLayers> =>
  compareLayers({ reference: path(reference), model: path(model), tokenizerFolder: undefined, text: undefined, threads: 1 });

describe('compareLayers', () => {
  test('one cut per layer, in order, with an error that grows', async () => {
    const layers = await compare('model.onnx', 'q4.onnx');
    expect(layers.map(({ name }) => name)).toEqual(['layer.0/Add.out', 'layer.1/Add.out', 'layer.2/Add.out', 'y']);
    for (const { snrDb } of layers) expect(snrDb).toBeGreaterThan(10);
    expect(layers.at(-1)!.snrDb).toBeLessThan(layers[0]!.snrDb);
  });

  test('a model equals itself', async () => {
    for (const { snrDb, maxError } of await compare('model.onnx', 'model.onnx')) expect([snrDb, maxError]).toEqual([Infinity, 0]);
  });

  test('a model that reads half floats is given those of the other, models in memory are compared too', async () => {
    const layers = await compare('model.onnx', 'half.onnx');
    expect(layers).toHaveLength(4);
    for (const { snrDb } of layers) expect(snrDb).toBeGreaterThan(50);
    expect(await compareLayers({ reference: chain(), model: path('half.onnx'), tokenizerFolder: undefined, text: undefined, threads: 1 })).toEqual(layers);
  });

  test('models that do not take the same inputs have no common layers', async () => {
    const other = chain();
    other.graph.inputs[0]!.name = 'z';
    expect(await compareLayers({ reference: chain(), model: other, tokenizerFolder: undefined, text: undefined, threads: 1 })).toEqual([]);
  });
});

test('a graph cannot be converted again, and conversion comes first', async () => {
  const run = (steps: Parameters<typeof runRecipe>[0]['steps']): Promise<unknown> =>
    runRecipe({ input: path('model.onnx'), output: path('again.onnx'), steps }, { check: false });
  await expect(run([{ convert: { dtype: 'float16' } }])).rejects.toMatchObject({ code: 'E_OPTION' });
  await expect(run([{ quantize: {} }, { convert: {} }])).rejects.toMatchObject({ code: 'E_RECIPE' });
  await expect(run([{ convert: {} }, { cast: { dtype: 'float16' } }])).resolves.toBeDefined();
});
