import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DenseTensor, GraphBuilder, type LazyTensor, Model, storedTensors, tensorType } from '@penjing/core';
import { expect, test } from 'vitest';
import { openOnnx } from '../inputs/onnx.js';
import { shareModel } from './share-model.js';

function wide(): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  model.irVersion = 9;
  const b = new GraphBuilder(model.graph);
  const weight = b.initializer('w', DenseTensor.of('float32', [64, 64], Float32Array.from({ length: 64 * 64 }, (_, i) => i)));
  b.output(b.op('MatMul', [b.input('x', tensorType('float32', [1, 64])), weight]), 'y', tensorType('float32', [1, 64]));
  return model;
}

test('a large model is in a private file as long as it is shared', async () => {
  const shared = await shareModel(wide(), { memoryLimit: 1024 });
  const folder = dirname(dirname(shared.file!));
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  const [stored] = storedTensors(await openOnnx(shared.file!));
  const bytes = await (stored!.tensor as LazyTensor).load();
  expect(new Float32Array(bytes.slice().buffer)[4095]).toBe(4095);
  await shared[Symbol.asyncDispose]();
  expect(existsSync(folder)).toBe(false);
});

test('a small one stays in memory, and one that lies in a file stays there', async () => {
  expect((await shareModel(wide())).file).toBeUndefined();
  expect((await shareModel(wide(), { file: 'model.onnx', memoryLimit: 0 })).file).toBe('model.onnx');
});

test('nothing is left when it is given up', async () => {
  await expect(shareModel(wide(), { memoryLimit: 0, signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
});
