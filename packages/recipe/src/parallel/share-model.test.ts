import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DenseTensor, GraphBuilder, type LazyTensor, Model, storedTensors, tensorType } from '@penjing/core';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
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

let folder: string;
const written = async (): Promise<string[]> => readdir(folder);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-share-'));
  vi.stubEnv('TMPDIR', folder);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

test('a large model is in one private file from when it is first asked for, as long as it is shared', async () => {
  const shared = shareModel(wide(), { memoryLimit: 1024 });
  expect(await written()).toEqual([]);
  const [file, again] = await Promise.all([shared.file(), shared.file()]);
  expect([again, (await written()).length]).toEqual([file, 1]);
  expect((await stat(dirname(dirname(file!)))).mode & 0o777).toBe(0o700);
  const [stored] = storedTensors(await openOnnx(file!));
  const bytes = await (stored!.tensor as LazyTensor).load();
  expect(new Float32Array(bytes.slice().buffer)[4095]).toBe(4095);
  await shared[Symbol.asyncDispose]();
  expect(await written()).toEqual([]);
});

test('a small one stays in memory, and one that lies in a file stays there', async () => {
  expect(await shareModel(wide()).file()).toBeUndefined();
  expect(await shareModel(wide(), { file: 'model.onnx', memoryLimit: 0 }).file()).toBe('model.onnx');
  expect(await written()).toEqual([]);
});

test('what nobody asked for is not there when it is disposed of either', async () => {
  await shareModel(wide(), { memoryLimit: 0 })[Symbol.asyncDispose]();
  expect(await written()).toEqual([]);
});

test('nothing is left when it is given up', async () => {
  const shared = shareModel(wide(), { memoryLimit: 0, signal: AbortSignal.abort(new Error('enough')) });
  await expect(shared.file()).rejects.toThrow('enough');
  expect(await written()).toEqual([]);
  await shared[Symbol.asyncDispose]();
});

test('a temporary folder that takes nothing is told to all who ask, with what helps', async () => {
  await writeFile(join(folder, 'file'), '');
  vi.stubEnv('TMPDIR', join(folder, 'file'));
  const shared = shareModel(wide(), { memoryLimit: 0 });
  for (let i = 0; i < 2; i++) {
    await expect(shared.file()).rejects.toMatchObject({ code: 'E_NOT_FOUND', message: expect.stringMatching(/^the model cannot be written for the engines that share it: /) as string, hint: expect.stringMatching(/TMPDIR/) as string });
  }
  await shared[Symbol.asyncDispose]();
});
