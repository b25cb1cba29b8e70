/** Losses of pairs against their formulas and central differences; pairs through a network of single texts; metrics by hand. */
import { assertSound, type DenseTensor, denseOf, type Feeds, GraphBuilder, Model, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import { differentiate } from '../gradient/differentiate.js';
import { pairCosines, recallAt1, spearman } from '../trainer/pair-metrics.js';
import { jobsOn } from '../trainer/testing.js';
import { train } from '../trainer/train.js';
import { readPairs } from '../trainable/read-pairs.js';
import { contrastive, pairSimilarity } from './contrastive.js';
import { addLoss, type Loss } from './loss.js';

const X = [0.5, -1, 2, 0.1, 0.2, -0.3, 1.5, 0, -2, 0.4, 0.9, -0.7, 1, 1, 0.2, -0.4, 0.3, 0.8];

function network(loss: Loss): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  b.output(b.op('Identity', [b.input('x', tensorType('float64', ['pairs', 2, 3]))]), 'sentence_embedding', tensorType('float64', ['pairs', 2, 3]));
  addLoss(model, loss);
  return model;
}

const row = (values: readonly number[], i: number): number[] => values.slice(3 * i, 3 * i + 3);
const cosine = (a: readonly number[], b: readonly number[]): number => {
  const dot = (p: readonly number[], q: readonly number[]): number => p.reduce((sum, v, k) => sum + v * q[k]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
};
const cosines = [0, 1, 2].map((i) => [0, 1, 2].map((j) => cosine(row(X, 2 * i), row(X, 2 * j + 1))));
const nats = (rows: readonly (readonly number[])[], temperature: number, allowed: (i: number, j: number) => boolean = () => true): number =>
  rows.reduce((sum, scores, i) => sum - scores[i]! / temperature + Math.log(scores.reduce((all, score, j) => all + (i === j || allowed(i, j) ? Math.exp(score / temperature) : 0), 0)), 0) / rows.length;
const turned = [0, 1, 2].map((i) => cosines.map((scores) => scores[i]!));

describe.each<[string, Loss, Feeds, number]>([
  ['contrastive', contrastive({ temperature: 0.5 }), {}, nats(cosines, 0.5)],
  ['contrastive, both ways', contrastive({ temperature: 0.5, symmetric: true }), {}, (nats(cosines, 0.5) + nats(turned, 0.5)) / 2],
  ['contrastive, by groups', contrastive({ temperature: 0.5, groups: 'groups' }), { groups: denseOf('int64', [3], [7, 1, 7]) }, nats(cosines, 0.5, (i, j) => i + j !== 2)],
  ['similarity', pairSimilarity(), { scores: denseOf('float32', [3], [1, 0, -0.5]) }, [1, 0, -0.5].reduce((sum, score, i) => sum + (cosines[i]![i]! - score) ** 2, 0) / 3],
])('%s', (_, loss, feeds, wanted) => {
  test('has the value of its formula, and the gradient of central differences', async () => {
    const model = network(loss);
    differentiate(model, { loss: 'loss', of: ['x'] });
    await using executor = await referenceEngine().load(model);
    const at = async (values: readonly number[]) => executor.run({ x: denseOf('float64', [3, 2, 3], values), ...feeds });
    const { loss: value, 'gradient/x': gradient } = (await at(X)) as Record<string, DenseTensor>;
    expect(value!.data[0]).toBeCloseTo(wanted, 6);
    for (let i = 0; i < X.length; i += 2) {
      const [above, below] = [await at(X.map((v, k) => (k === i ? v + 1e-5 : v))), await at(X.map((v, k) => (k === i ? v - 1e-5 : v)))];
      expect(gradient!.data[i]).toBeCloseTo((((above['loss'] as DenseTensor).data[0] as number) - ((below['loss'] as DenseTensor).data[0] as number)) / 2e-5, 6);
    }
  });
});

/** input_ids, attention_mask (batch, tokens) → sentence_embedding (batch, 4): the mean of rows of a table. */
function encoder(): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const [ids, mask] = ['input_ids', 'attention_mask'].map((name) => b.input(name, tensorType('int64', ['batch', 'tokens'])));
  const table = b.initializer('table', denseOf('float32', [12, 4], Array.from({ length: 48 }, (_, i) => Math.sin(3 * i))));
  const weights = b.op('Unsqueeze', [b.op('Cast', [mask!], { to: 1 }), b.constant('int64', [-1])]);
  const sum = b.op('ReduceSum', [b.op('Mul', [b.op('Gather', [table, ids!]), weights]), b.constant('int64', [1])], { keepdims: 0 });
  b.output(b.op('Div', [sum, b.op('ReduceSum', [weights, b.constant('int64', [1])], { keepdims: 0 })]), 'sentence_embedding', tensorType('float32', ['batch', 4]));
  return model;
}

test('a network of texts reads pairs, text by text', async () => {
  const [single, pairs] = [encoder(), encoder()];
  readPairs(pairs);
  assertSound(pairs);
  expect(pairs.graph.outputs[0]!.type).toMatchObject({ shape: ['pairs', 2, 4] });
  const [ids, mask] = [[1, 2, 3, 4, 5, 0, 6, 7, 8, 9, 0, 0], [1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0]];
  const run = async (model: Model, shape: number[]) => {
    await using executor = await referenceEngine().load(model);
    return ((await executor.run({ input_ids: denseOf('int64', shape, ids), attention_mask: denseOf('int64', shape, mask) }))['sentence_embedding'] as DenseTensor).data;
  };
  expect(await run(pairs, [2, 2, 3])).toEqual(await run(single, [4, 3]));
  expect(() => readPairs(encoder(), 'other')).toThrow(/no other/);
});

test('training on pairs raises how many find their own', async () => {
  const jobs = jobsOn(referenceEngine());
  const model = encoder();
  readPairs(model);
  // word i belongs to word i + 6
  const ids = Array.from({ length: 6 }, (_, i) => [i, i, i + 6, i + 6]).flat();
  const data = { columns: { input_ids: await jobs.refer(denseOf('int64', [6, 2, 2], ids)), attention_mask: await jobs.refer(denseOf('int64', [1, 2, 2], [1, 1, 1, 1])) } };
  const { state } = await train(model, { jobs, data, validation: data, loss: contrastive({ temperature: 0.2 }), pairs: { embedding: 'sentence_embedding' }, optimizer: { rate: 0.05 }, batch: 6, steps: 60, validateEvery: 60 });
  expect(state.validations.map(({ metrics }) => metrics['recallAt1'])).toEqual([expect.any(Number), 1]);
  expect(state.validations[0]!.metrics['recallAt1']).toBeLessThan(1);
  expect(state.losses.at(-1)!).toBeLessThan(0.3 * state.losses[0]!);
}, 30_000);

test('ranks, and the nearest', () => {
  expect(spearman([1, 2, 3, 4], [10, 20, 30, 400])).toBeCloseTo(1, 12);
  expect(spearman([1, 2, 3, 4], [4, 3, 2, 1])).toBeCloseTo(-1, 12);
  // ties share 1.5
  expect(spearman([1, 2, 2, 3], [1, 2, 3, 4])).toBeCloseTo(0.9486833, 6);
  expect(spearman([1, 1], [1, 2])).toBe(0);
  const embeddings = { values: Float32Array.of(1, 0, 0, 1, 0, 1, 2, 0.1), width: 2, count: 2 };
  expect(recallAt1(embeddings)).toBe(0);
  expect(recallAt1(embeddings, [3, 3])).toBe(1);
  expect([...pairCosines(embeddings)]).toEqual([0, expect.closeTo(0.1 / Math.hypot(2, 0.1), 6)]);
});
