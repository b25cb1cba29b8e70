/** Data as feeds: pictures in the layout and normalisation of a model, arrays by name, tokens, and what does not fit. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DenseTensor, type Dim, type DType, type Feeds, GraphBuilder, Model, tensorType } from '@penjing/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CalibrationDataOptions, openCalibrationData } from './calibration-data.js';

const sapling = join(import.meta.dirname, '../../../models/sapling');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-feeds-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, content: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

/** Six pictures of 2 × 2, the first pixel of each counting them. */
function digits(): Promise<string> {
  return file('digits-idx3', Buffer.from([0, 0, 8, 3, 0, 0, 0, 6, 0, 0, 0, 2, 0, 0, 0, 2, ...[0, 1, 2, 3, 4, 5].flatMap((i) => [i, 255, 0, 51])]));
}

function reading(inputs: Readonly<Record<string, readonly [DType, readonly (Dim | null)[]]>>): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  for (const [name, [dtype, shape]] of Object.entries(inputs)) b.output(b.op('Identity', [b.input(name, tensorType(dtype, shape))]), `${name}.out`);
  return model;
}

async function feeds(model: Model, data: string, options: Partial<CalibrationDataOptions> = {}): Promise<Feeds[]> {
  return listOf((await openCalibrationData({ input: { path: sapling }, data, ...options })).stream(model));
}

async function listOf(stream: AsyncIterable<{ readonly feeds: Feeds }>): Promise<Feeds[]> {
  const all: Feeds[] = [];
  for await (const { feeds: one } of stream) all.push(one);
  return all;
}

const values = (tensor: unknown): number[] => Array.from((tensor as DenseTensor).data as unknown as ArrayLike<number>, Number);

describe('openCalibrationData', () => {
  test('pictures: layouts, channels, sizes, normalisation, samples spread over the data', async () => {
    const path = await digits();
    const [first, second] = await feeds(reading({ x: ['float32', ['n', 1, 2, 2]] }), path, { samples: 2, scale: 1 });
    expect([(first!.x as DenseTensor).shape, values(first!.x), values(second!.x)]).toEqual([[1, 1, 2, 2], [0, 255, 0, 51], [3, 255, 0, 51]]);
    const [scaled] = await feeds(reading({ x: ['float32', [1, 2, 2]] }), path, { mean: [0.5], std: [0.5] });
    expect(values(scaled!.x).map((value) => Math.round(value * 100) / 100)).toEqual([-1, 1, -1, -0.6]);
    const [colour] = await feeds(reading({ x: ['float32', [1, 2, 2, 3]] }), path, { scale: 1 });
    expect(values(colour!.x)).toEqual([0, 0, 0, 255, 255, 255, 0, 0, 0, 51, 51, 51]);
    const [bytes] = await feeds(reading({ x: ['uint8', [1, 4]] }), path);
    expect([(bytes!.x as DenseTensor).dtype, values(bytes!.x)]).toEqual(['uint8', [0, 255, 0, 51]]);
    const [smaller] = await feeds(reading({ x: ['float32', [1, 1, 1, 1]] }), path, { scale: 1 });
    expect(values(smaller!.x)).toEqual([76.5]);
    await expect(feeds(reading({ x: ['float32', [1, 1, 2, 2]], y: ['float32', [1]] }), path)).rejects.toThrow(/the model has 2: x, y/);
    await expect(feeds(reading({ x: ['float32', [1, 7]] }), path)).rejects.toThrow(/x reads \[1, 7\]: no picture/);
    await expect(feeds(reading({ x: ['float32', [1, 1, 2, 2]] }), path, { mean: [1, 2] })).rejects.toThrow(/--mean has 2 numbers/);
  });

  test('arrays: by name, with a batch of one, in the type of the input; what is missing or wrong is named', async () => {
    const path = await file('a.jsonl', '{"x": [1, 2], "flag": [true]}');
    const model = reading({ x: ['float32', ['n', 2]], flag: ['bool', [1]] });
    const [one] = await feeds(model, path);
    expect([(one!.x as DenseTensor).shape, (one!.x as DenseTensor).dtype, values(one!.x), (one!.flag as DenseTensor).dtype]).toEqual([[1, 2], 'float32', [1, 2], 'bool']);
    await expect(feeds(reading({ x: ['float32', ['n', 2]], z: ['float32', [1]] }), path)).rejects.toThrow(/sample 0 misses the input z: it has x, flag/);
    await expect(feeds(reading({ x: ['float32', ['n', 3]], flag: ['bool', [1]] }), path)).rejects.toThrow(/has x as \[2\], the model reads \[n, 3\]/);
    await expect(feeds(reading({ x: ['int64', [2]] }), await file('b.jsonl', '{"x": [1.5, 2]}'))).rejects.toThrow(/has 1.5 in x, which is int64/);
  });

  test('text: windows of tokens, texts with classes, models that read none', async () => {
    const model = reading({ input_ids: ['int64', ['batch_size', 'sequence_length']], attention_mask: ['int64', ['batch_size', 'total_sequence_length']] });
    const [window, ...others] = await feeds(model, await file('t.txt', 'the quick brown fox '.repeat(20)));
    expect(others).toEqual([]);
    expect((window!.attention_mask as DenseTensor).shape).toEqual((window!.input_ids as DenseTensor).shape);
    const labelled = await openCalibrationData({ input: { path: sapling }, data: await file('t.csv', 'text,label\none,b\ntwo three,a\n') });
    expect([labelled.labelled, labelled.classes]).toEqual([true, ['a', 'b']]);
    const labels: unknown[] = [];
    for await (const sample of labelled.stream(reading({ input_ids: ['int64', [1, 16]], attention_mask: ['int64', [1, 16]] }))) {
      labels.push(sample.labels);
      expect((sample.feeds.input_ids as DenseTensor).shape).toEqual([1, 16]);
      expect(values(sample.feeds.attention_mask)).toContain(0);
    }
    expect(labels).toEqual([[1], [0]]);
    await expect(feeds(reading({ x: ['float32', [1, 4]] }), await file('u.txt', 'some text'))).rejects.toThrow(/does not read tokens/);
    await expect(feeds(model, await file('v.txt', ''))).rejects.toThrow(/has 0 tokens|at least two/);
  });

  test('random numbers only when asked for, and named so; a hash of what is used and how', async () => {
    const random = await openCalibrationData({ input: { path: sapling }, data: 'random:3' });
    expect([random.synthetic, (await listOf(random.stream(reading({ x: ['float32', [1, 2]] })))).length]).toEqual([true, 3]);
    const path = await digits();
    const hashes = await Promise.all([{}, { samples: 2 }, { scale: 1 }].map(async (options) => (await openCalibrationData({ input: { path: sapling }, data: path, ...options })).hash));
    expect(new Set(hashes).size).toBe(3);
  });
});
