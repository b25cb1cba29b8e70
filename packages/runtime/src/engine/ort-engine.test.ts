import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DenseTensor, type Executor, GraphBuilder, Model, type Value, denseOf, tensorType } from '@penjing/core';
import { layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';
import { fileSource, saveFile } from '@penjing/graph-io/node';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { liveSessionHosts } from '../session-host.js';
import { engineContract } from '../testing/engine-contract.js';
import { modelBytes } from '../testing/model-folder.js';
import { ortEngine } from './ort-engine.js';

const engine = ortEngine({ threads: 1 });
let folder: string;
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'penjing-test-'))));
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => expect(liveSessionHosts()).toBe(0));

engineContract('ortEngine', () => engine);

const x = denseOf('float32', [1, 512], Array.from({ length: 512 }, (_, i) => i % 7));

/** y = x·w, w (512, 4): 8 KiB, enough to go into external data. */
function large(): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const w = b.initializer('w', DenseTensor.of('float32', [512, 4], Float32Array.from({ length: 2048 }, (_, i) => i % 5)));
  b.output(b.op('MatMul', [b.input('x', tensorType('float32', ['n', 512])), w]), 'y', tensorType('float32', ['n', 4]));
  return model;
}

/** A convolution and a batch normalization, whose weights stand among the inputs too where they are `loose`. */
function normalized(loose: boolean): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  model.irVersion = 8;
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, ...shape: number[]): Value => b.initializer(name, DenseTensor.of('float32', shape, Float32Array.from({ length: shape.reduce((all, size) => all * size, 1) }, (_, i) => 0.5 + Math.sin(i * 1.7) / 3)));
  const weights = [weight('w', 4, 3, 3, 3), weight('scale', 4), weight('bias', 4), weight('mean', 4), weight('variance', 4)] as const;
  const [w, ...rest] = weights;
  const h = b.op('Conv', [b.input('x', tensorType('float32', ['n', 3, 8, 8])), w]);
  b.output(b.op('BatchNormalization', [h, ...rest]), 'y', tensorType('float32', ['n', 4, 6, 6]));
  if (loose) model.graph.inputs.push(...weights);
  return model;
}

describe('where a model comes from', () => {
  test('memory, file, file with external data, and memory with external data give the same', async () => {
    const [file, data] = serializeOnnx(large(), { externalData: 'always', name: 'large.onnx' });
    const [graph, weights] = [await layoutToBytes(file!), await layoutToBytes(data!)];
    await writeFile(join(folder, file!.name), graph);
    await writeFile(join(folder, data!.name), weights);
    const inline = await modelBytes(large());
    await writeFile(join(folder, 'inline.onnx'), inline);
    const results: string[] = [];
    for (const load of [
      () => engine.load(large()),
      () => ortEngine({ threads: 1, memoryLimit: 0 }).load(large()),
      () => engine.loadFile(join(folder, 'inline.onnx')),
      () => engine.loadFile(join(folder, 'large.onnx')),
      () => engine.loadBytes(inline),
      () => engine.loadBytes(graph, { externalData: [{ path: data!.name, bytes: weights }] }),
    ]) {
      await using executor = await load();
      const { y } = await executor.run({ x });
      results.push([...(y as DenseTensor).data].join());
    }
    expect(new Set(results).size).toBe(1);
    expect(inline.byteLength).toBeGreaterThan(0);
  });

  test('weights among the inputs are as fixed as others: ONNX Runtime fuses what touches them', async () => {
    const path = join(folder, 'loose.onnx');
    const loose = await modelBytes(normalized(true));
    await writeFile(path, loose);
    const picture = { x: denseOf('float32', [1, 3, 8, 8], Array.from({ length: 192 }, (_, i) => Math.sin(i))) };
    const bitsOf = async (loading: Promise<Executor>): Promise<string> => {
      await using executor = await loading;
      expect(executor.inputs.map(({ name }) => name)).toEqual(['x']);
      const { y } = await executor.run(picture);
      return Buffer.from((y as DenseTensor).bytes).toString('hex');
    };
    const fused = await bitsOf(engine.load(normalized(false)));
    // A convolution and its normalization round otherwise as two operators.
    expect(await bitsOf(engine.load(normalized(false), { optimization: 'none' }))).not.toBe(fused);
    for (const loading of [engine.load(normalized(true)), engine.loadFile(path), engine.loadBytes(loose)]) expect(await bitsOf(loading)).toBe(fused);
  });

  test('weights among the inputs of a file that is a link, as in a cache of hubs, are found however large they are', async () => {
    const blobs = await mkdtemp(join(folder, 'blobs-'));
    await writeFile(join(blobs, 'a1b2'), await modelBytes(normalized(true)));
    await symlink(join(blobs, 'a1b2'), join(folder, 'linked.onnx'));
    const picture = { x: denseOf('float32', [1, 3, 8, 8], Array.from({ length: 192 }, (_, i) => Math.sin(i))) };
    for (const memoryLimit of [0, undefined]) {
      const limited = ortEngine({ threads: 1, ...(memoryLimit !== undefined && { memoryLimit }) });
      for (const path of [join(folder, 'linked.onnx'), join(blobs, 'a1b2')]) {
        await using executor = await limited.loadFile(path);
        expect(await executor.run(picture)).toHaveProperty('y');
      }
    }
  });

  test('transfer gives the buffers away', async () => {
    const bytes = await modelBytes(large());
    await using executor = await engine.loadBytes(bytes, { transfer: true });
    expect(bytes.byteLength).toBe(0);
    expect(await executor.run({ x })).toHaveProperty('y');
  });

  test('temporary files live as long as the executor', async () => {
    const temporary = await mkdtemp(join(folder, 'tmp-'));
    vi.stubEnv('TMPDIR', temporary);
    // tsx keeps its own cache there.
    const ours = async (): Promise<string[]> => (await readdir(temporary)).filter((name) => name.startsWith('penjing-session-'));
    const executor = await engine.load(large());
    expect(await ours()).toEqual([]);
    const filed = await ortEngine({ memoryLimit: 0 }).load(large());
    expect(await ours()).toHaveLength(1);
    await filed[Symbol.asyncDispose]();
    await executor[Symbol.asyncDispose]();
    expect(await ours()).toEqual([]);
    // Weights that lie in files are read there, by all engines.
    await saveFile(join(folder, 'in-place.onnx'), serializeOnnx(large(), { name: 'in-place.onnx' }));
    await using source = await fileSource(join(folder, 'in-place.onnx'));
    const stored = await readOnnx(source);
    await using there = await ortEngine({ memoryLimit: 0 }).load(stored);
    expect(await ours()).toEqual([]);
    await using whole = await engine.load(large());
    expect(await there.run({ x })).toEqual(await whole.run({ x }));
    vi.unstubAllEnvs();
  });

  test('a load that is given up rejects at once, and its thread ends by itself', async () => {
    const bytes = await modelBytes(large());
    const controller = new AbortController();
    const load = engine.loadBytes(bytes, { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('never mind')), 50);
    await expect(load).rejects.toThrow('never mind');
    await vi.waitFor(() => expect(liveSessionHosts()).toBe(0), { timeout: 10_000 });
  });

  test('what is no model is refused by our reader', async () => {
    await writeFile(join(folder, 'text.onnx'), 'this is no model, and ONNX Runtime never sees it');
    await expect(engine.loadFile(join(folder, 'text.onnx'))).rejects.toMatchObject({ code: expect.stringMatching(/^E_(?!ENGINE)/) as string });
    await expect(engine.loadFile(join(folder, 'nothing.onnx'))).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    const [file] = serializeOnnx(large(), { externalData: 'always' });
    await expect(engine.loadBytes(await layoutToBytes(file!))).rejects.toMatchObject({ code: 'E_EXTERNAL_DATA' });
  });
});

describe('what cannot cross', () => {
  test.each(['bfloat16', 'float8e4m3fn', 'int4'] as const)('%s at the border of a model is named', async (dtype) => {
    const model = new Model();
    model.opsetImports.set('', 21);
    const b = new GraphBuilder(model.graph);
    b.output(b.op('Identity', [b.input('odd', tensorType(dtype, [2]))]), 'y', tensorType(dtype, [2]));
    await expect(engine.load(model)).rejects.toMatchObject({ code: 'E_UNSUPPORTED', message: expect.stringContaining('odd') as string });
  });
});

describe('options', () => {
  test.each([0, 1.5, NaN, 5000])('%d threads are refused', async (threads) => {
    await expect(engine.load(large(), { threads })).rejects.toMatchObject({ code: 'E_OPTION' });
  });

  test('an unknown provider is a typed error', async () => {
    await expect(engine.load(large(), { providers: ['abacus'] })).rejects.toMatchObject({ code: 'E_PROVIDER' });
  });

  test('configuration reaches ONNX Runtime', async () => {
    await expect(engine.load(large(), { threads: 2, sessionConfig: { 'session.intra_op_thread_affinities': 'nonsense' } })).rejects.toMatchObject({ code: 'E_ENGINE' });
    await using executor = await engine.load(large(), { prepack: 'never', optimization: 'none' });
    expect(await executor.run({ x })).toHaveProperty('y');
  });
});

const mnist = join(process.env['PENJING_TESTDATA'] ?? '../shared/data', 'models/mnist/mnist-cntk.onnx');
test.skipIf(!existsSync(mnist))('a real model runs from its file', async () => {
  await using executor = await engine.loadFile(mnist);
  const { Plus214_Output_0: y } = await executor.run({ Input3: denseOf('float32', [1, 1, 28, 28], new Array<number>(784).fill(0)) });
  expect(y).toMatchObject({ shape: [1, 10] });
  expect((await readFile(mnist)).byteLength).toBe(26454);
});
