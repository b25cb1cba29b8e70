import { GraphBuilder, lazy, Model, tensorType, type Value } from '@penjing/core';
import { expect, test } from 'vitest';
import { costBook } from '../cost/cost-book.js';
import { interpolate, speedOf } from '../cost/roofline.js';
import { shardModel } from '../tensor/shard-model.js';
import { stepTraffic } from '../tensor/step-traffic.js';
import { memoryOf } from './forecast.js';
import { tensorProgram } from './tensor-segments.js';
import { mixtureModel } from '../testing/mixture-model.js';
import { transformerModel } from '../testing/transformer-model.js';

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `d${i}`);
const layout = (count: number) => ({ kind: 'tensor' as const, devices: names(count) });
const sizes = { batch: 2, sequence: 16 };
const model = transformerModel({ hidden: 256, layers: 2, heads: 8, vocabulary: 512, dtype: 'float32' });
const speed = speedOf({ name: 'd', memoryBytes: 1e9, flops: 1e9, memoryBandwidth: 1e15 });

test('moves what the steps of the program move', () => {
  const book = costBook(model, { sizes });
  const traffic = stepTraffic(shardModel(model, { shards: 2 }), book.sizes);
  const total = (kind: 'reduce' | 'gather'): number => traffic.filter((step) => step.kind === kind).reduce((sum, { bytes }) => sum + bytes, 0);
  const segments = tensorProgram(book, book.whole, layout(2)).segments(2);
  expect(segments.reduce((sum, { reducedBytes }) => sum + reducedBytes, 0)).toBe(total('reduce'));
  expect(segments.reduce((sum, { gatheredBytes }) => sum + gatheredBytes, 0)).toBe(total('gather'));
  // two sums a layer of (2, 16, 256) numbers, and what the table of tokens adds
  expect(total('reduce')).toBeGreaterThanOrEqual(4 * 2 * 16 * 256 * 4);
});

test('computes what a shard computes, for every number of shards', () => {
  const book = costBook(model, { sizes });
  const seconds = (shards: number): number => tensorProgram(book, book.whole, layout(shards)).segments(2).reduce((sum, { secondsOn }) => sum + secondsOn(speed).alone, 0);
  const one = book.at(2).flops / 1e9;
  for (const shards of [2, 4, 8]) expect(seconds(shards) / (one / shards), `${shards} shards`).toBeGreaterThan(1);
  for (const shards of [2, 4, 8]) expect(seconds(shards) / (one / shards), `${shards} shards`).toBeLessThan(1.25);
  // a larger batch of the same program is another price
  expect(tensorProgram(book, book.whole, layout(2)).segments(4)[0]!.reducedBytes).toBe(2 * tensorProgram(book, book.whole, layout(2)).segments(2)[0]!.reducedBytes);
});

test('weights that no shard is spared lie on all of them', () => {
  const made = new Model();
  made.opsetImports.set('', 21);
  const b = new GraphBuilder(made.graph);
  const weight = (name: string, ...shape: number[]): Value => b.initializer(name, lazy.fill('float32', shape, 0));
  const x = b.input('x', tensorType('float32', ['batch', 256]));
  const wide = b.op('MatMul', [b.op('Relu', [b.op('MatMul', [x, weight('up', 256, 1024)])]), weight('down', 1024, 256)]);
  // runs whole on every shard: no rule cuts the matrix of a recurrent operator
  const [states] = b.nodes('GRU', [b.op('Unsqueeze', [wide, b.constant('int64', [0])]), weight('w', 1, 3 * 64, 256), weight('r', 1, 3 * 64, 64)], { hidden_size: 64 });
  b.output(states!, 'y');
  const book = costBook(made, { sizes: { batch: 4 } });
  const [cut, whole] = [2 * 256 * 1024 * 4, (3 * 64 * 256 + 3 * 64 * 64) * 4];
  for (const shards of [2, 4]) {
    const program = tensorProgram(book, book.whole, layout(shards));
    for (const bytes of names(shards).map((_, shard) => program.weightBytes(shard))) expect(Math.abs(bytes - (cut / shards + whole))).toBeLessThan(1024);
    expect(memoryOf(layout(shards), book)['d0']).toBeGreaterThan(cut / shards + whole);
  }
});

test('more shards than are worked out have memory each, whoever asked first', () => {
  const book = costBook(model, { sizes });
  const least = memoryOf(layout(16), book)['d0']! / 2;
  const memory = memoryOf(layout(32), book);
  expect(Object.keys(memory)).toEqual(names(32));
  for (const bytes of Object.values(memory)) expect(bytes).toBeGreaterThan(least);
});

test.each([
  ['whole experts', mixtureModel({ experts: 40, width: 64, hidden: 64 }), 32, 'only'],
  ['whole experts and matrices', mixtureModel({ experts: 30, width: 64, hidden: 64 }), 20, 'whole'],
  ['matrices', transformerModel({ hidden: 320, layers: 1, heads: 40, vocabulary: 640, dtype: 'float32' }), 32, 'sliced'],
] as const)('%s on more shards than are worked out: each is forecast to hold what it holds', (_, made, shards, experts) => {
  const book = costBook(made);
  const program = tensorProgram(book, book.whole, { ...layout(shards), experts });
  const truth = shardModel(made, { shards, experts }).segments.map((segments) => segments.flatMap(({ graph }) => [...graph.initializers.values()]).reduce((sum, { tensor }) => sum + tensor!.byteLength, 0));
  // The last shards hold less than the first ones.
  expect(Math.max(...truth)).toBeGreaterThan(1.02 * Math.min(...truth));
  for (const [shard, bytes] of truth.entries()) expect(Math.abs(program.weightBytes(shard) / bytes - 1), `shard ${shard}`).toBeLessThan(0.02);
});

test('a ladder that begins at nothing has a value everywhere', () => {
  const ladder = [[0, 10], [100, 30], [1000, 40]] as const;
  expect([0, 50, 100, 1000, 5000].map((size) => interpolate(ladder, size))).toEqual([10, 20, 30, 40, 40]);
});
