/** Processes that train together, met in memory: the weights of one run, whoever computes, and the same end for all. */
import { DenseTensor, type Engine, type JobHost, type PenjingError, type Progress } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import { crossEntropy } from '../losses/cross-entropy.js';
import { averagedGradients, engineGradients } from './gradient-source.js';
import { trainingGraph } from './training-graph.js';
import { classifier, jobsOn, residual, samples, weightsOf } from './testing.js';
import { exchangesInMemory } from './testing/exchanges-in-memory.js';
import { train, type TrainOptions, type TrainResult } from './train.js';

const optimizer = { rate: 0.02, schedule: { name: 'cosine', warmup: 3 }, weightDecay: 0.01, clip: 1 } as const;

interface Ran {
  readonly weights: Record<string, number[]>;
  readonly result: TrainResult;
}

async function run(more: Partial<TrainOptions> = {}, jobs: JobHost = jobsOn(referenceEngine())): Promise<Ran> {
  const model = more.dropout === undefined ? classifier() : residual();
  const result = await train(model, { jobs, data: await samples(jobs, 48), optimizer, batch: 24, steps: 8, seed: 3, ...more });
  return { weights: await weightsOf(model), result };
}

/** All ranks at once. */
function together(world: number, more: (rank: number) => Partial<TrainOptions> = () => ({}), onRound?: Parameters<typeof exchangesInMemory>[1]): Promise<PromiseSettledResult<Ran>[]> {
  return Promise.allSettled(exchangesInMemory(world, onRound).map((exchange) => run({ exchange, ...more(exchange.rank) })));
}

const values = (settled: readonly PromiseSettledResult<Ran>[]): Ran[] => settled.map((one) => (one.status === 'fulfilled' ? one.value : expect.fail(String(one.reason))));
const reasons = (settled: readonly PromiseSettledResult<Ran>[]): PenjingError[] => settled.map((one) => (one.status === 'rejected' ? (one.reason as PenjingError) : expect.fail('it trained')));

test.each([2, 3, 4])('the average over %i engines is the gradient of the whole batch', async (count) => {
  const { model, weights } = trainingGraph(classifier(), { loss: crossEntropy(), shapes: new Map() });
  const one = engineGradients(await referenceEngine().load(model), [...weights.keys()]);
  const feeds = { x: DenseTensor.of('float32', [24, 4], Float32Array.from({ length: 96 }, (_, i) => Math.sin(i * i))), labels: DenseTensor.of('int64', [24], BigInt64Array.from({ length: 24 }, (_, i) => BigInt((i * 7) % 3))) };
  const start = Object.fromEntries(await Promise.all([...weights].map(async ([name, tensor]) => [name, new DenseTensor(tensor.dtype, tensor.shape, await tensor.load())] as const)));
  const [whole, shared, again] = [await one(feeds, start), await averagedGradients(Array<typeof one>(count).fill(one))(feeds, start), await averagedGradients(Array<typeof one>(count).fill(one))(feeds, start)];
  expect(shared).toEqual(again);
  for (const [name, expected] of whole.gradients) {
    const norm = Math.hypot(...expected);
    expect(norm).toBeGreaterThan(1e-3);
    expect(Math.hypot(...expected.map((value, i) => value - shared.gradients.get(name)![i]!)) / norm).toBeLessThan(1e-5);
  }
});

describe('ranks', () => {
  test.each([2, 3, 4])('%i of them give the bits of as many engines of one process', async (world) => {
    const one = await run({ engines: world });
    for (const { weights, result } of values(await together(world))) {
      expect(weights).toEqual(one.weights);
      expect(result.state.losses).toEqual(one.result.state.losses);
    }
  });

  test('engines, batches that are added up, masks and measurements come together', async () => {
    const jobs = jobsOn(referenceEngine());
    const validation = await samples(jobs, 20, 8);
    const more = { accumulate: 2, validation, validateEvery: 2, dropout: 0.3, optimizer: { ...optimizer, average: 0.9 } };
    const one = await run({ ...more, engines: 4 });
    const [first, second] = values(await together(2, () => ({ ...more, engines: 2 }))) as [Ran, Ran];
    expect(second.weights).toEqual(first.weights);
    expect(second.result.state.validations).toEqual(first.result.state.validations);
    const bare = await run({ ...more, engines: 4, dropout: 1e-9 });
    expect(Math.max(...Object.entries(one.weights).flatMap(([name, weights]) => weights.map((value, i) => Math.abs(value - bare.weights[name]![i]!))))).toBeGreaterThan(1e-3);
    for (const [name, weights] of Object.entries(one.weights)) weights.forEach((value, i) => expect(first.weights[name]![i]).toBeCloseTo(value, 5));
  });

  test('whoever stops, stops all behind the same step; rank 0 says where all go on', async () => {
    const jobs = jobsOn(referenceEngine());
    const shelf = await jobs.openShelf();
    const controller = new AbortController();
    const onProgress = ({ figures }: Progress): void => void (figures?.['step'] === 3 && controller.abort(new Error('enough')));
    const stopped = reasons(await together(2, (rank) => (rank === 0 ? { checkpoints: shelf } : { signal: controller.signal, onProgress })));
    expect(stopped[1]!.message).toBe('enough');
    expect(stopped[0]).toMatchObject({ code: 'E_PEER', message: expect.stringMatching(/another rank stopped the training after step 4/) as string });
    const whole = values(await together(2));
    // rank 1 has no checkpoint
    for (const { weights, result } of values(await together(2, (rank) => (rank === 0 ? { checkpoints: shelf, resume: true } : {})))) {
      expect(result.resumedAt).toBe(4);
      expect(weights).toEqual(whole[0]!.weights);
    }
  });

  test('one that throws ends the others at once: before the first round, and in the middle', async () => {
    const [first, , third] = reasons(await together(3, (rank) => (rank === 1 ? { batch: 23 } : {})));
    for (const error of [first, third]) expect(error).toMatchObject({ code: 'E_PEER', message: expect.stringMatching(/rank 1 failed: .*23 samples/) as string });
    let runs = 0;
    const engine = referenceEngine();
    const dying: Engine = {
      name: 'dying',
      async load(model, options) {
        const executor = await engine.load(model, options);
        return { inputs: executor.inputs, outputs: executor.outputs, [Symbol.asyncDispose]: () => executor[Symbol.asyncDispose](), run: (...feeds) => (++runs > 3 ? Promise.reject(new Error('the memory is full')) : executor.run(...feeds)) };
      },
    };
    const settled = await Promise.allSettled(exchangesInMemory(3).map((exchange) => run({ exchange }, exchange.rank === 1 ? jobsOn(dying) : undefined)));
    expect(reasons(settled).map(({ code, message }) => [code, message])).toEqual([['E_PEER', 'rank 1 failed: the memory is full'], [undefined, 'the memory is full'], ['E_PEER', 'rank 1 failed: the memory is full']]);
  });

  test('other options, other weights or another seed are refused by all', async () => {
    const refused = async (more: Partial<TrainOptions>): Promise<string[]> => reasons(await together(2, (rank) => (rank === 1 ? more : {}))).map(({ code, message }) => `${code} ${message}`);
    expect(await refused({ seed: 4 })).toEqual(Array(2).fill('E_OPTION ranks 0 and 1 differ in the seed'));
    expect(await refused({ steps: 9 })).toEqual(Array(2).fill('E_OPTION ranks 0 and 1 differ in the options'));
    expect(await refused({ select: (name) => name !== 'first.bias' })).toEqual(Array(2).fill('E_OPTION ranks 0 and 1 differ in the weights'));
    expect(await refused({ key: 'b' })).toEqual(Array(2).fill('E_OPTION ranks 0 and 1 differ in the model'));
    expect(reasons(await together(5)).map(({ code }) => code)).toEqual(Array(5).fill('E_OPTION'));
  });

  test('a rank that is lost ends all, and the hint names the checkpoint that stays', async () => {
    let rounds = 0;
    const lost = reasons(await together(2, () => ({ checkpointEvery: 1 }), () => {
      if (++rounds === 6) throw Object.assign(new Error('rank 1 is lost'), { code: 'E_PEER' });
    }));
    for (const error of lost) {
      expect(error).toMatchObject({ code: 'E_PEER', message: 'rank 1 is lost' });
      expect(error.hint).toMatch(/checkpoint of step 3 is intact/);
    }
  });

  test('a loss that is not finite on one rank is one of all', async () => {
    for (const error of reasons(await together(2, () => ({ optimizer: { name: 'sgd', rate: 3e38 } })))) expect(error.code).toBe('E_DIVERGED');
  });
});
