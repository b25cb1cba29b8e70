import { GraphBuilder, Model, lazy, tensorType } from '@penjing/core';
import { expect, test } from 'vitest';
import { shardModel } from '../tensor/shard-model.js';
import { mixtureModel } from '../testing/mixture-model.js';
import { modelCost, type NodeCost } from './model-cost.js';

const products = (model: Model, tokens?: number): NodeCost[] => [...modelCost(model, { sizes: tokens === undefined ? {} : { tokens } }).nodes.values()].filter(({ node }) => /^in0/.test(node.input(1)?.name ?? ''));

test('an expert costs what it is likely to be asked for', () => {
  const [width, hidden] = [16, 32];
  const model = mixtureModel({ experts: 8, perToken: 2, width, hidden });
  // One token: a quarter of the experts work, each on one row.
  expect(products(model, 1)).toHaveLength(8);
  for (const cost of products(model, 1)) {
    expect(cost).toMatchObject({ rows: 1, weightBytes: 4 * width * hidden * 0.25 });
    expect(cost.flops).toBeCloseTo(2 * width * hidden * 0.25, 9);
  }
  // Many: all work, on a quarter of the tokens.
  for (const cost of products(model, 256)) {
    expect(cost.rows).toBe(64);
    expect(cost.flops / (2 * 64 * width * hidden)).toBeCloseTo(1, 6);
  }
});

test('of a shard with some experts, the one with most tokens is meant', () => {
  const model = mixtureModel({ experts: 8, perToken: 2, width: 16, hidden: 32, layers: 1 });
  const [segment] = shardModel(model, { shards: 2, experts: 'only', threshold: 0 }).segments[0]!.filter(({ graph }) => [...graph.nodes()].some(({ opType }) => opType === 'NonZero'));
  const [few, many] = [1, 1024].map((tokens) => {
    for (const value of segment!.graph.inputs) value.type = tensorType('float32', [tokens, 16]);
    return products(segment!);
  });
  expect(few).toHaveLength(4);
  // On average one of two choices falls to four of eight experts, to the busier half 10/7: 2 with a chance of 3/7, else 1.
  expect(few!.reduce((sum, { flops }) => sum + flops, 0) / (2 * 16 * 32)).toBeGreaterThan(1.35);
  expect(few!.reduce((sum, { flops }) => sum + flops, 0) / (2 * 16 * 32)).toBeLessThan(1.6);
  // With many tokens chance evens out.
  for (const { rows } of many!) expect(Math.abs(rows! - 256)).toBeLessThan(10);
});

test('a mixture in one operator reads the experts that are chosen', () => {
  const model = new Model();
  model.opsetImports.set('', 21);
  model.opsetImports.set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['tokens', 16]));
  const stored = (name: string, ...shape: number[]) => b.initializer(name, lazy.fill('float32', shape, 0));
  const router = b.op('MatMul', [x, stored('router', 16, 8)]);
  const [y] = b.nodes('MoE', [x, router, stored('w1', 8, 32, 16), null, stored('w2', 8, 16, 32)], { k: 2 }, { domain: 'com.microsoft' });
  b.output(y!, 'y', tensorType('float32', ['tokens', 16]));
  const read = (tokens: number): number => [...modelCost(model, { sizes: { tokens } }).nodes.values()].at(-1)!.weightBytes / (4 * 8 * 2 * 16 * 32);
  expect(read(1)).toBeCloseTo(0.25, 9);
  expect(read(100)).toBeCloseTo(1, 9);
});
