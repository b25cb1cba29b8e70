import { PenjingError } from '@penjing/core';
import { describe, expect, test, vi } from 'vitest';
import { type HandExecutor, handExecutor, numbers, valuesOf } from '../testing/hand-executor.js';
import { openReplicas } from './replicas.js';
import { openRevived } from './revived.js';

const batch = { symbol: 'batch', inputs: { x: 0 }, outputs: { y: 0 } };
const hands = (count: number): HandExecutor[] => Array.from({ length: count }, () => handExecutor(['x'], ['y']));
const counts = (replicas: readonly HandExecutor[]): number[] => replicas.map(({ runs }) => runs.length);
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

describe('replicas', () => {
  test('share a batch, each once, and put it together in order', async () => {
    const replicas = hands(3);
    await using all = openReplicas({ replicas, batch });
    const running = all.run({ x: numbers(1, 2, 3, 4, 5) });
    await vi.waitFor(() => expect(counts(replicas)).toEqual([1, 1, 1]));
    expect(replicas.map(({ runs }) => valuesOf(runs[0]!.feeds['x']))).toEqual([[1], [2, 3], [4, 5]]);
    replicas.forEach(({ runs }, i) => runs[0]!.end(i));
    expect(valuesOf((await running)['y'])).toEqual([0, 1, 1, 2, 2]);
  });

  test('requests that come together go to different ones, the next to the one with the least work', async () => {
    const replicas = hands(2);
    await using all = openReplicas({ replicas });
    const requests = [1, 2, 3].map((value) => all.run({ x: numbers(value) }));
    await vi.waitFor(() => expect(counts(replicas)).toEqual([2, 1]));
    replicas[1]!.runs[0]!.end(0);
    await requests[1];
    requests.push(all.run({ x: numbers(4) }));
    await vi.waitFor(() => expect(counts(replicas)).toEqual([2, 2]));
    for (const { runs } of replicas) runs.forEach((run) => run.end(0));
    await Promise.all(requests);
  });

  test('a batch that meets busy replicas is cut for the free ones only', async () => {
    const replicas = hands(3);
    await using all = openReplicas({ replicas, batch });
    const single = all.run({ x: numbers(0) });
    const wide = all.run({ x: numbers(1, 2, 3, 4) });
    await vi.waitFor(() => expect(counts(replicas)).toEqual([1, 1, 1]));
    expect(replicas.slice(1).map(({ runs }) => valuesOf(runs[0]!.feeds['x']))).toEqual([[1, 2], [3, 4]]);
    for (const { runs } of replicas) runs.forEach((run) => run.end(0));
    await Promise.all([single, wide]);
  });

  test('a batch that meets replicas with equal work is cut for all of them, and stays whole when all are full', async () => {
    const replicas = hands(2);
    await using all = openReplicas({ replicas, batch });
    const requests = [1, 3, 5].map((value) => all.run({ x: numbers(value, value + 1) }));
    await vi.waitFor(() => expect(counts(replicas)).toEqual([2, 2]));
    expect(replicas.map(({ runs }) => runs.map(({ feeds }) => valuesOf(feeds['x'])))).toEqual([[[1], [3]], [[2], [4]]]);
    for (const { runs } of replicas) runs[0]!.end(0);
    await vi.waitFor(() => expect(counts(replicas)).toEqual([3, 2]));
    expect(valuesOf(replicas[0]!.runs[2]!.feeds['x'])).toEqual([5, 6]);
    replicas.forEach(({ runs }) => runs.slice(1).forEach((run) => run.end(0)));
    await Promise.all(requests);
  });

  test('two pieces at most are in each; the others wait, and leave the line when given up', async () => {
    const replicas = hands(2);
    await using all = openReplicas({ replicas });
    const abort = new AbortController();
    const requests = Array.from({ length: 4 }, () => all.run({ x: numbers(1) }));
    const late = all.run({ x: numbers(2) }, { signal: abort.signal });
    await vi.waitFor(() => expect(counts(replicas)).toEqual([2, 2]));
    await settle();
    expect(counts(replicas)).toEqual([2, 2]);
    abort.abort(new Error('enough'));
    await expect(late).rejects.toThrow('enough');
    for (const { runs } of replicas) runs.forEach((run) => run.end(0));
    await Promise.all(requests);
    expect(counts(replicas)).toEqual([2, 2]);
  });

  test('an error ends its own batch alone', async () => {
    const replicas = hands(2);
    await using all = openReplicas({ replicas, batch });
    const bad = all.run({ x: numbers(1, 2) });
    const good = all.run({ x: numbers(3) });
    await vi.waitFor(() => expect(counts(replicas)).toEqual([2, 1]));
    replicas[0]!.runs[0]!.fail(new PenjingError('E_ENGINE', 'no'));
    await expect(bad).rejects.toMatchObject({ code: 'E_ENGINE' });
    expect(replicas[1]!.runs[0]!.options.signal?.aborted).toBe(true);
    replicas[0]!.runs[1]!.end(7);
    expect(valuesOf((await good)['y'])).toEqual([7]);
  });
});

describe('an executor that is revived', () => {
  const lost = (): PenjingError => new PenjingError('E_WORKER', 'it ended');

  test('is opened again when its worker died, for all whose work that cut off', async () => {
    const opened: HandExecutor[] = [];
    await using revived = await openRevived(async () => {
      opened.push(...hands(1));
      return opened.at(-1)!;
    });
    const running = [1, 2].map((value) => revived.run({ x: numbers(value) }));
    await vi.waitFor(() => expect(counts(opened)).toEqual([2]));
    opened[0]!.runs.forEach((run) => run.fail(lost()));
    await vi.waitFor(() => expect(counts(opened)).toEqual([2, 2]));
    expect(opened[0]!.disposed).toBe(true);
    opened[1]!.runs.forEach((run, i) => run.end(i));
    expect((await Promise.all(running)).map(({ y }) => valuesOf(y))).toEqual([[0], [1]]);
  });

  test('tells the second time, is not asked a third, and works for others', async () => {
    const opened: HandExecutor[] = [];
    const open = async (): Promise<HandExecutor> => {
      opened.push(...hands(1));
      return opened.at(-1)!;
    };
    await using all = openReplicas({ replicas: [await openRevived(open)] });
    const running = all.run({ x: numbers(1) });
    for (const turn of [1, 2]) {
      await vi.waitFor(() => expect(counts(opened)).toEqual(Array(turn).fill(1)));
      opened.at(-1)!.runs[0]!.fail(lost());
    }
    await expect(running).rejects.toMatchObject({ code: 'E_WORKER', details: { again: true } });
    const next = all.run({ x: numbers(2) });
    await vi.waitFor(() => expect(counts(opened)).toEqual([1, 1, 1]));
    opened[2]!.runs[0]!.end(3);
    expect(valuesOf((await next)['y'])).toEqual([3]);
  });

  test('leaves work whose feeds were given away to those who have them', async () => {
    const opened = hands(2);
    let count = 0;
    await using revived = await openRevived(async () => opened[count++]!);
    const running = revived.run({ x: numbers(1) }, { transfer: ['x'] });
    await vi.waitFor(() => expect(counts(opened)).toEqual([1, 0]));
    opened[0]!.runs[0]!.fail(lost());
    await expect(running).rejects.toMatchObject({ code: 'E_WORKER', details: {} });
    await vi.waitFor(() => expect(count).toBe(2));
  });
});
