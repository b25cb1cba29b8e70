import { PenjingError, tensorType } from '@penjing/core';
import { describe, expect, test, vi } from 'vitest';
import { handExecutor, numbers, valuesOf } from '../testing/hand-executor.js';
import { openPipeline } from './pipeline.js';

const batch = { symbol: 'batch', inputs: { x: 0 }, outputs: { y: 0 } };
const open = (microBatches: number, rest: { grain?: number; inFlight?: number; batch?: typeof batch | undefined } = {}) => {
  const [first, second] = [handExecutor(['x'], ['h']), handExecutor(['h'], ['y'])];
  const pipeline = openPipeline({ stages: [{ name: 'first', work: first }, { name: 'second', work: second }], inputs: [{ name: 'x', type: tensorType('float32', ['batch']) }], outputs: ['y'], microBatches, batch, ...rest });
  return { first, second, pipeline };
};

describe('a pipeline', () => {
  test('pieces go through the stages in order while others are in earlier ones, and come together in order', async () => {
    const { first, second, pipeline } = open(3);
    const running = pipeline.run({ x: numbers(1, 2, 3) });
    await vi.waitFor(() => expect(first.runs).toHaveLength(3));
    first.runs.forEach((run, i) => run.end(10 * i));
    await vi.waitFor(() => expect(second.runs).toHaveLength(3));
    expect(second.runs.map(({ feeds }) => valuesOf(feeds['h']))).toEqual([[0], [10], [20]]);
    expect(second.runs.map(({ options }) => options.transfer)).toEqual([['h'], ['h'], ['h']]);
    // out of order, as replicas of a stage may be
    [2, 0, 1].forEach((i) => second.runs[i]!.end(i));
    expect(valuesOf((await running)['y'])).toEqual([0, 1, 2]);
    await pipeline[Symbol.asyncDispose]();
    expect([first.disposed, second.disposed]).toEqual([true, true]);
  });

  test('no more pieces are in it than allowed, whatever the batch', async () => {
    const { first, second, pipeline } = open(100, { inFlight: 3 });
    const running = pipeline.run({ x: numbers(...Array<number>(30).fill(0)) });
    await vi.waitFor(() => expect(first.runs).toHaveLength(3));
    for (let i = 0; i < 30; i++) {
      await vi.waitFor(() => expect(first.runs.length).toBeGreaterThan(i), { interval: 1 });
      first.runs[i]!.end(0);
      await vi.waitFor(() => expect(second.runs.length).toBeGreaterThan(i), { interval: 1 });
      expect(first.runs.length - i).toBeLessThanOrEqual(3);
      second.runs[i]!.end(i);
    }
    expect(valuesOf((await running)['y'])).toEqual(Array.from({ length: 30 }, (_, i) => i));
  });

  test('pieces begin where they may, and a batch that cannot be cut stays whole', async () => {
    for (const [options, pieces] of [[{ grain: 2 }, 2], [{ batch: undefined }, 1]] as const) {
      const { first, second, pipeline } = open(4, options);
      const running = pipeline.run({ x: numbers(1, 2, 3, 4, 5) });
      await vi.waitFor(() => expect(first.runs).toHaveLength(pieces));
      first.runs.forEach((run) => run.end(0));
      await vi.waitFor(() => expect(second.runs).toHaveLength(pieces));
      second.runs.forEach((run) => run.end(0));
      expect((await running)['y']!.shape).toEqual([5]);
    }
  });

  test('a piece that fails ends its own batch, and leaves others alone', async () => {
    const { first, second, pipeline } = open(2, { inFlight: 8 });
    const [bad, good] = [pipeline.run({ x: numbers(1, 2) }), pipeline.run({ x: numbers(3, 4) })];
    await vi.waitFor(() => expect(first.runs).toHaveLength(4));
    first.runs[1]!.fail(new PenjingError('E_ENGINE', 'no'));
    await expect(bad).rejects.toMatchObject({ code: 'E_ENGINE' });
    expect(first.runs.map(({ options }) => options.signal?.aborted)).toEqual([true, true, false, false]);
    first.runs.slice(2).forEach((run) => run.end(0));
    await vi.waitFor(() => expect(second.runs).toHaveLength(2));
    second.runs.forEach((run, i) => run.end(i));
    expect(valuesOf((await good)['y'])).toEqual([0, 1]);
  });
});
