/** Engines that share a batch, in threads of their own: one result, whatever their number, and the same bits every time. */
import { DenseTensor, denseOf, GraphBuilder, Model, type Progress, createRng, tensorType } from '@penjing/core';
import { train, type TrainOptions } from '@penjing/distill';
import { ortJobs } from '@penjing/runtime';
import { afterAll, expect, test } from 'vitest';

const jobs = ortJobs({ threads: 2 });
afterAll(() => jobs[Symbol.asyncDispose]());

/** x (n, 8) → logits (n, 3), with a normalization over the batch. */
function network(): Model {
  const rng = createRng(5);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, shape: number[]) => b.initializer(name, denseOf('float32', shape, Array.from({ length: shape.reduce((a, c) => a * c, 1) }, () => 0.5 * rng.normal())));
  const vector = (name: string, value: number) => b.initializer(name, denseOf('float32', [16], Array<number>(16).fill(value)));
  const first = b.op('Gemm', [b.input('x', tensorType('float32', ['n', 8])), weight('first.weight', [8, 16]), weight('first.bias', [16])]);
  const normal = b.op('BatchNormalization', [first, vector('norm.scale', 1), vector('norm.bias', 0), vector('norm.mean', 0), vector('norm.variance', 1)]);
  b.output(b.op('Gemm', [b.op('Relu', [normal]), weight('second.weight', [16, 3]), weight('second.bias', [3])]), 'logits', tensorType('float32', ['n', 3]));
  return model;
}

async function trained(more: Partial<TrainOptions>): Promise<{ weights: Record<string, Float32Array>; losses: readonly number[]; resumedAt: number | undefined }> {
  const rng = createRng(2);
  const x = Float32Array.from({ length: 64 * 8 }, () => rng.normal());
  const labels = BigInt64Array.from({ length: 64 }, (_, i) => BigInt(x[8 * i]! > 0 ? 0 : x[8 * i + 1]! > 0 ? 1 : 2));
  const data = { columns: { x: await jobs.refer(DenseTensor.of('float32', [64, 8], x)), labels: await jobs.refer(DenseTensor.of('int64', [64], labels)) }, classes: { labels: 3 } };
  const model = network();
  const { state, resumedAt } = await train(model, { jobs, data, batch: 16, steps: 12, seed: 1, optimizer: { name: 'sgd', rate: 0.1, momentum: 0.9 }, ...more });
  const weights: Record<string, Float32Array> = {};
  for (const [name, { tensor }] of model.graph.initializers) if (tensor!.dtype === 'float32') weights[name] = new Float32Array((await tensor!.load()).slice().buffer);
  return { weights, losses: state.losses, resumedAt };
}

test('two engines train like one, up to rounding, and to the same bits every time', async () => {
  const [one, two, again] = [await trained({}), await trained({ engines: 2 }), await trained({ engines: 2 })];
  expect(two.losses).toEqual(again.losses);
  expect(two.weights).toEqual(again.weights);
  one.losses.forEach((loss, i) => expect(two.losses[i]).toBeCloseTo(loss, 5));
  for (const [name, values] of Object.entries(one.weights)) values.forEach((value, i) => expect(two.weights[name]![i]).toBeCloseTo(value, 4));
});

test('a run of two engines that was cut off goes on to the same bits', async () => {
  const whole = await trained({ engines: 2 });
  await using checkpoints = await jobs.openShelf();
  const controller = new AbortController();
  const onProgress = ({ figures }: Progress): void => void (figures?.['step'] === 5 && controller.abort(new Error('enough')));
  await expect(trained({ engines: 2, checkpoints, checkpointEvery: 1, signal: controller.signal, onProgress })).rejects.toThrow('enough');
  const rest = await trained({ engines: 2, checkpoints, resume: true });
  expect(rest.resumedAt).toBeGreaterThanOrEqual(5);
  expect(rest.losses).toEqual(whole.losses);
  expect(rest.weights).toEqual(whole.weights);
});

test('each part is normalized by itself, and running statistics are those of all parts', async () => {
  const [one, two] = [await trained({ statistics: 'batch', steps: 1 }), await trained({ statistics: 'batch', steps: 1, engines: 2 })];
  one.weights['norm.mean']!.forEach((value, i) => expect(two.weights['norm.mean']![i]).toBeCloseTo(value, 5));
  // what the parts vary by leaves out by how much they differ
  one.weights['norm.variance']!.forEach((value, i) => expect(two.weights['norm.variance']![i]).toBeLessThanOrEqual(value + 1e-6));
});
