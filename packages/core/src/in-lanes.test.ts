/** A few at a time, in order, and nothing that runs is left behind. */
import { expect, test } from 'vitest';
import { inLanes } from './in-lanes.js';

test('results stand in the order of the items, and no more run than there are lanes', async () => {
  let running = 0;
  let most = 0;
  const found = await inLanes([3, 1, 2, 0], 2, async (turns, index) => {
    most = Math.max(most, ++running);
    for (let i = 0; i < turns; i++) await Promise.resolve();
    running--;
    return [index, turns];
  });
  expect(found).toEqual([[0, 3], [1, 1], [2, 2], [3, 0]]);
  expect(most).toBe(2);
});

test('when a lane fails the others are told, and waited for, before it is thrown', async () => {
  const heard: unknown[] = [];
  const ended: number[] = [];
  const failure = new Error('the second');
  await expect(inLanes([0, 1, 2, 3, 4], 3, async (item, _, signal) => {
    if (item === 1) throw failure;
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    heard.push(signal.reason);
    // whoever hears of it still has to tidy up
    await new Promise((resolve) => setTimeout(resolve, 5));
    ended.push(item);
  })).rejects.toBe(failure);
  expect(heard).toEqual([failure, failure]);
  expect(ended).toEqual([0, 2]);
});

test('the first failure is the one that is thrown, and the signal of the caller reaches the work', async () => {
  const caller = new AbortController();
  const reason = new Error('enough');
  const run = inLanes([0, 1], 2, (item, _, signal) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(item === 0 ? (signal.reason as Error) : new Error('later')), { once: true })), caller.signal);
  caller.abort(reason);
  await expect(run).rejects.toBe(reason);
});
