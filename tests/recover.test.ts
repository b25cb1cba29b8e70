/** Pruned and quantized models that are trained: what they keep to holds, the loss falls, and the integers that are stored compute what was trained. */
import { assertSound, cloneModel, createRng, type DenseTensor, denseOf, type Feeds, GraphBuilder, inlineJobs, type JobHost, Model, type Pass, tensorType, toDense, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { magnitudePrune } from '@penjing/compress';
import { type Dataset, keepLayers, makeTrainable, openGrids, type OptimizerPlan, prunedWeights, train, type TrainOptions } from '@penjing/distill';
import { wasmKernels } from '@penjing/kernels';
import { quantizeWeights, type WeightOptions } from '@penjing/quantize';
import { describe, expect, test } from 'vitest';

const TOKENS = 24;
const WIDTH = 32;
const LENGTH = 6;

/** Tokens → table → two residual layers → logits by the same table. */
function network(): Model {
  const rng = createRng(5);
  const model = new Model();
  model.opsetImports.set('', 25);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number): Value => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => rng.normal() / Math.sqrt(rows))));
  const table = weight('table', TOKENS, WIDTH);
  let x = b.op('Gather', [table, b.input('tokens', tensorType('int64', ['n', LENGTH]))]);
  for (const layer of [0, 1]) {
    const normed = b.op('LayerNormalization', [x, b.initializer(`norm${layer}`, denseOf('float32', [WIDTH], new Array<number>(WIDTH).fill(1)))]);
    x = b.op('Add', [x, b.op('MatMul', [b.op('Relu', [b.op('MatMul', [normed, weight(`up${layer}`, WIDTH, 64)])]), weight(`down${layer}`, 64, WIDTH)])]);
  }
  b.output(b.op('MatMul', [x, b.op('Transpose', [table], { perm: [1, 0] })]), 'logits', tensorType('float32', ['n', LENGTH, TOKENS]));
  return model;
}

const jobs = inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() });

/** The next token is a rule of the last one. */
async function sequences(host: JobHost, count: number, seed: number): Promise<Dataset> {
  const rng = createRng(seed);
  const rows = Array.from({ length: count }, () => {
    const row = [rng.below(TOKENS)];
    while (row.length <= LENGTH) row.push((5 * row.at(-1)! + 3 + (rng.uniform() < 0.1 ? 1 : 0)) % TOKENS);
    return row;
  });
  const ints = (from: number): DenseTensor => denseOf('int64', [count, LENGTH], rows.flatMap((row) => row.slice(from, from + LENGTH)));
  return { columns: { tokens: await host.refer(ints(0)), labels: await host.refer(ints(1)) } };
}

async function trained(model: Model, kept: Pick<OptimizerPlan, 'zeros' | 'grids'>, { rate = 5e-3, ...more }: Partial<TrainOptions> & { readonly rate?: number } = {}): Promise<{ readonly first: number; readonly last: number }> {
  const { state } = await train(model, {
    jobs, batch: 8, steps: 16, seed: 1, data: await sequences(jobs, 256, 1), validation: await sequences(jobs, 16, 2), validateEvery: 16,
    optimizer: { rate, weightDecay: 0.01, clip: 1, ...kept }, ...more,
  });
  return { first: state.validations[0]!.loss, last: state.best!.loss };
}

async function logits(model: Model, feeds: Feeds = { tokens: denseOf('int64', [2, LENGTH], Array.from({ length: 2 * LENGTH }, (_, i) => (7 * i) % TOKENS)) }): Promise<number[]> {
  await using executor = await referenceEngine().load(model);
  return [...((await executor.run(feeds))['logits'] as DenseTensor).data] as number[];
}

const largestDifference = (a: readonly number[], b: readonly number[]): number => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

async function contents(model: Model): Promise<Record<string, Uint8Array>> {
  return Object.fromEntries(await Promise.all([...model.graph.initializers].map(async ([name, { tensor }]) => [name, (await toDense(tensor!)).bytes.slice()] as const)));
}

/** Most of the loss of `network` is what it never learnt: a model that has learnt something comes first. */
let learnt: Promise<Model> | undefined;
const teacher = async (): Promise<Model> => cloneModel(await (learnt ??= (async () => {
  const model = network();
  await trained(model, {}, { steps: 80 });
  return model;
})()));

const apply = async (pass: Pass): Promise<Model> => (await pass.run(await teacher(), { jobs })).model;

test.each([{ sparsity: 0.7 }, { pattern: '2:4' }])('zeros of %j stay, and the loss falls', async (rule) => {
  const model = await apply(magnitudePrune(rule));
  const pruned = await prunedWeights(model, { jobs });
  expect([...pruned.keys()].sort()).toEqual(['down0', 'down1', 'table', 'up0', 'up1'].filter((name) => pruned.has(name)));
  expect(pruned.size).toBeGreaterThanOrEqual(4);
  const zeros = async (): Promise<Record<string, number[]>> => Object.fromEntries(await Promise.all([...pruned.keys()].map(async (name) => [name, [...((await toDense(model.graph.initializers.get(name)!.tensor!)).data as Float32Array)].flatMap((w, i) => (w === 0 ? [i] : []))] as const)));
  const before = await zeros();
  const { first, last } = await trained(model, { zeros: [...pruned.keys()] });
  expect(last).toBeLessThan(first);
  expect(await zeros()).toEqual(before);
});

const quantizedTo = (scheme: WeightOptions): Promise<Model> => apply(quantizeWeights({ ...scheme, accuracyLevel: 1 }));

describe('on integer grids', () => {
  test.each([
    { bits: 2, blockSize: 32, symmetric: true }, { bits: 2, blockSize: 16, symmetric: false }, { bits: 3, blockSize: 32, symmetric: true }, { bits: 3, blockSize: 16, symmetric: false },
    { bits: 4, blockSize: 32, symmetric: true }, { bits: 4, blockSize: 16, symmetric: false }, { bits: 4, blockSize: 64, symmetric: true }, { bits: 8, blockSize: 32, symmetric: true }, { bits: 8, blockSize: 32, symmetric: false },
  ] as const)('$bits bits, blocks of $blockSize, symmetric: $symmetric: opened it computes the same, and closed it is the same', async (scheme) => {
    for (const format of ['qoperator', 'qdq'] as const) {
      const quantized = await quantizedTo({ ...scheme, format });
      const [wanted, before] = [await logits(quantized), await contents(quantized)];
      const opened = await openGrids(quantized, { jobs });
      assertSound(opened.model);
      expect(largestDifference(await logits(opened.model), wanted)).toBeLessThan(1e-5);
      const products = ['down0', 'down1', 'up0', 'up1'];
      expect(opened.grids.map(({ weight }) => weight).sort()).toEqual(format === 'qdq' || WIDTH % scheme.blockSize !== 0 ? products : [...products, 'table'].sort());
      for (const { lowest, highest } of opened.grids) expect(highest - lowest).toBe(2 ** scheme.bits - 1);
      await opened.close(opened.model, { jobs });
      expect(await contents(quantized)).toEqual(before);
    }
  });

  test.each([
    { bits: 2, blockSize: 32, format: 'qoperator', rate: 5e-3 }, { bits: 3, blockSize: 16, format: 'qdq', symmetric: false, rate: 1e-3 }, { bits: 4, blockSize: 32, format: 'qoperator', symmetric: false, rate: 1e-3 },
  ] as const)('$bits bits in blocks of $blockSize, $format: the loss falls, and the stored integers compute what was trained', async ({ rate, ...scheme }) => {
    const quantized = await quantizedTo(scheme);
    const before = await contents(quantized);
    const opened = await openGrids(quantized, { jobs });
    const { model } = await makeTrainable(cloneModel(opened.model));
    const { first, last } = await trained(model, { grids: opened.grids }, { rate });
    expect(last).toBeLessThan(first);
    const { model: closed, records } = await opened.close(model, { jobs });
    assertSound(closed);
    for (const { snrDb, note } of records) {
      expect(snrDb).toBeGreaterThan(120);
      expect(note).toBeUndefined();
    }
    expect(largestDifference(await logits(closed), await logits(model))).toBeLessThan(1e-4);
    expect(await contents(closed)).not.toEqual(before);
  });
});

test('students of a layer learn', async () => {
  const { model, sizes } = await keepLayers({ keep: [0] }).run(await teacher(), {});
  expect(sizes?.layers?.after).toBe(1);
  const { first, last } = await trained(model, {});
  expect(last).toBeLessThan(first);
});
