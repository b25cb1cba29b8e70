/** Pieces of the trainer by their properties: order, checkpoints on a failing disk, averages over engines, rates. */
import { DenseTensor, PenjingError, type Shelf } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Checkpoints, type RunState } from './checkpoints.js';
import { averagedGradients, engineGradients, type GradientSource } from './gradient-source.js';
import { plannedRate } from './optimizer-plan.js';
import { sampleOrder } from './sample-order.js';
import { classifier, jobsOn } from './testing.js';
import { trainingGraph } from './training-graph.js';
import { crossEntropy } from '../losses/cross-entropy.js';

test('every epoch has each sample once, in an order of its own, wherever it is asked first', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 0, max: 5 }), (size, seed, epoch) => {
    const order = sampleOrder(size, seed);
    const seen = Array.from({ length: size }, (_, i) => order(epoch * size + i));
    expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, i) => i));
    const late = sampleOrder(size, seed);
    expect(late(epoch * size + size - 1)).toBe(seen.at(-1));
  }));
  const of = (seed: number, epoch: number): number[] => Array.from({ length: 30 }, (_, i) => sampleOrder(30, seed)(epoch * 30 + i));
  expect(of(1, 0)).not.toEqual(of(1, 1));
  expect(of(1, 0)).not.toEqual(of(2, 0));
});

test('rates rise in the warm-up, and fall with the share that is done', () => {
  const plan = { rate: 2, schedule: { name: 'linear', warmup: 4, end: 0.5 } } as const;
  expect([0, 3].map((step) => plannedRate(plan, step, 0))).toEqual([0.5, 2]);
  expect([0, 0.5, 1, 7].map((share) => plannedRate(plan, 9, share))).toEqual([2, 1.5, 1, 1]);
  expect(plannedRate({ rate: 2, schedule: {} }, 0, 0.5)).toBeCloseTo(1, 12);
  expect(plannedRate({ rate: 2 }, 5, 0.9)).toBe(2);
});

describe('checkpoints', () => {
  const state = (step: number): RunState => ({ step, elapsed: step, losses: [], rates: [], validations: [], worse: 0 });
  const checkpoint = (step: number, average = true) => ({
    state: state(step),
    weights: new Map([['a', Float32Array.of(step, 2)], ['b', Float32Array.of(step)]]),
    average: average ? new Map([['a', Float32Array.of(-step, 2)], ['b', Float32Array.of(-step)]]) : undefined,
    optimizer: new Map([['mean/a', Float32Array.of(step / 2, 0)]]),
  });
  const openShelf = (): Promise<Shelf> => jobsOn(referenceEngine()).openShelf();

  /** Refuses the n-th write, or spoils it as a crash of the machine may. */
  function failing(shelf: Shelf, at: number, how: 'full' | 'torn'): Shelf {
    let writes = 0;
    return {
      ...shelf,
      async put(name, tensor) {
        if (++writes < at) return shelf.put(name, tensor);
        if (how === 'torn' && writes === at) await shelf.put(name, new DenseTensor(tensor.dtype, tensor.shape, tensor.bytes.map((byte) => byte ^ 1)));
        throw new PenjingError('E_DISK_FULL', 'the disk is full');
      },
    };
  }

  test('a disk that fills up at any write leaves the last good one and the best', async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }), fc.constantFrom('full' as const, 'torn' as const), async (count, best, at, how) => {
      const shelf = await openShelf();
      const first = await Checkpoints.open(shelf, 'k');
      for (let step = 1; step <= count; step++) await first.save(checkpoint(step), step === Math.min(best, count));
      const second = await Checkpoints.open(failing(shelf, at, how), 'k');
      await expect(second.save(checkpoint(99), true)).rejects.toMatchObject({ code: 'E_DISK_FULL' });
      const third = await Checkpoints.open(shelf, 'k');
      expect(await third.load()).toEqual(checkpoint(count));
      expect(third.step).toBe(count);
      expect(await third.best()).toEqual(checkpoint(Math.min(best, count)).average);
    }));
  });

  test('of damaged bytes the one before is taken, and old ones are deleted', async () => {
    const names = new Set<string>();
    const memory = await openShelf();
    const shelf: Shelf = { ...memory, put: (name, tensor) => (names.add(name), memory.put(name, tensor)), delete: (name) => (names.delete(name), memory.delete(name)) };
    const checkpoints = await Checkpoints.open(shelf, 'k');
    for (let step = 1; step <= 9; step++) await checkpoints.save(checkpoint(step, false), step === 3);
    // two heads, three buffers of the last two, two weights of the best
    expect(names.size).toBe(2 + 2 * 3 + 2);
    await memory.put('9/weights/a', DenseTensor.of('float32', [2], Float32Array.of(0, 0)));
    const opened = await Checkpoints.open(shelf, 'k');
    expect((await opened.load())!.state.step).toBe(8);
    expect(await opened.best()).toEqual(checkpoint(3).weights);
    await memory.put('8/optimizer/mean/a', DenseTensor.of('float32', [2], Float32Array.of(0, 0)));
    await expect((await Checkpoints.open(shelf, 'k')).load()).rejects.toMatchObject({ code: 'E_RESUME' });
    await expect(Checkpoints.open(shelf, 'other')).rejects.toMatchObject({ code: 'E_RESUME' });
  });
});

test('engines that share a batch average to what one gives', async () => {
  const { model, weights } = trainingGraph(classifier(), { loss: crossEntropy(), shapes: new Map() });
  const executor = await referenceEngine().load(model);
  const one = engineGradients(executor, [...weights.keys()]);
  const feeds = { x: DenseTensor.of('float32', [7, 4], Float32Array.from({ length: 28 }, (_, i) => Math.sin(i))), labels: DenseTensor.of('int64', [7], BigInt64Array.from({ length: 7 }, (_, i) => BigInt(i % 3))) };
  const values = Object.fromEntries(await Promise.all([...weights].map(async ([name, tensor]) => [name, new DenseTensor(tensor.dtype, tensor.shape, await tensor.load())] as const)));
  const expected = await one(feeds, values);
  for (const count of [1, 2, 3, 9]) {
    const sizes: number[] = [];
    const counting: GradientSource = (part, w) => {
      sizes.push(part['x']!.shape[0]!);
      return one(part, w);
    };
    const { loss, gradients } = await averagedGradients(Array.from({ length: count }, () => counting))(feeds, values);
    expect(sizes.reduce((a, b) => a + b)).toBe(7);
    expect(loss).toBeCloseTo(expected.loss, 5);
    for (const [name, gradient] of expected.gradients) gradient.forEach((value, i) => expect(gradients.get(name)![i]).toBeCloseTo(value, 5));
  }
});
