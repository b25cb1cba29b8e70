import { allNodes, check, createRng, denseOf, type Feeds, GraphBuilder, Model, type Rng, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import { relativeDifference } from '../testing/relative-difference.js';
import { openShardsInTurn } from './run-sharded.js';
import { shardModel, type ShardOptions } from './shard-model.js';
import type { ShardedModel } from './sharded-model.js';

const rng = createRng(1);
const normal = (r: Rng, shape: readonly number[]) => denseOf('float32', shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => r.normal() / 4));

function network(make: (b: GraphBuilder, weight: (name: string, ...shape: number[]) => Value) => void, opset = 21): Model {
  const model = new Model();
  model.opsetImports.set('', opset);
  model.opsetImports.set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  make(b, (name, ...shape) => b.initializer(name, normal(rng, shape)));
  return model;
}

const mlp = (): Model => network((b, weight) => {
  const up = b.op('Relu', [b.op('Add', [b.op('MatMul', [b.input('x', tensorType('float32', ['n', 8])), weight('up', 8, 12)]), weight('up.bias', 12)])]);
  b.output(b.op('Add', [b.op('MatMul', [up, weight('down', 12, 8)]), weight('down.bias', 8)]), 'y', tensorType('float32', ['n', 8]));
});

async function differenceOf(model: Model, feeds: Feeds, options: ShardOptions): Promise<{ sharded: ShardedModel; difference: number }> {
  const sharded = shardModel(model, options);
  for (const segment of sharded.segments.flat()) expect(check(segment)).toEqual([]);
  await using whole = await referenceEngine().load(model);
  await using parts = await openShardsInTurn(sharded, referenceEngine());
  return { sharded, difference: relativeDifference(await parts.run(feeds), await whole.run(feeds)) };
}

const steps = ({ program }: ShardedModel): string[] => program.map((step) => (step.kind === 'run' ? 'run' : `${step.kind} ${step.values.length}`));

describe('a feed-forward layer', () => {
  test.each([2, 3, 4, 8])('on %i shards: columns, then rows, and one sum', async (shards) => {
    const { sharded, difference } = await differenceOf(mlp(), { x: normal(rng, [3, 8]) }, { shards, threshold: 0 });
    expect(steps(sharded)).toEqual(['run', 'reduce 1', 'run']);
    expect(difference).toBeLessThan(1e-6);
    const bytes = sharded.segments.map((segments) => [...segments[0]!.graph.initializers.values()].reduce((sum, { tensor }) => sum + (tensor!.shape.length > 1 ? tensor!.byteLength : 0), 0));
    expect(bytes.reduce((sum, size) => sum + size)).toBe(2 * 8 * 12 * 4);
    expect(sharded.layers).toEqual([{ weights: expect.arrayContaining(['up', 'down']) as string[], bytes: (2 * 96 + 12) * 4, collectives: 1 }]);
  });

  test('stays whole where cutting saves less than an exchange costs', async () => {
    const { sharded, difference } = await differenceOf(mlp(), { x: normal(rng, [3, 8]) }, { shards: 2 });
    expect(steps(sharded)).toEqual(['run']);
    expect(sharded.layers).toEqual([]);
    expect(difference).toBe(0);
  });

  test('the model itself is not changed', () => {
    const model = mlp();
    shardModel(model, { shards: 2, threshold: 0 });
    expect(check(model)).toEqual([]);
    expect([...allNodes(model.graph)].map(({ opType }) => opType)).toEqual(['MatMul', 'Add', 'Relu', 'MatMul', 'Add']);
  });
});
