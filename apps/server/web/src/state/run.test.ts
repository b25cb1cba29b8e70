import { describe, expect, test } from 'vitest';
import { createRun } from './run.js';

describe('a run', () => {
  test('keeps what came of it, and takes no second one meanwhile', async () => {
    const run = createRun<number>();
    let finish = (_value: number): void => {};
    const first = run.start(() => new Promise((resolve) => (finish = resolve)));
    await run.start(() => Promise.resolve(2));
    expect([run.busy.value, run.result.value]).toEqual([true, undefined]);
    finish(1);
    await first;
    expect([run.busy.value, run.result.value]).toEqual([false, 1]);
  });

  test('tells what went wrong, until the next one', async () => {
    const run = createRun<number>();
    await run.start(() => Promise.reject(new Error('no')));
    expect([run.error.value, run.stopped.value, run.busy.value]).toEqual([new Error('no'), false, false]);
    await run.start(() => Promise.resolve(1));
    expect([run.error.value, run.result.value]).toEqual([undefined, 1]);
    run.clear();
    expect(run.result.value).toBeUndefined();
  });

  test('that is stopped has not failed', async () => {
    const run = createRun<number>();
    const ended = run.start((signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))));
    run.stop();
    await ended;
    expect([run.error.value, run.stopped.value, run.busy.value]).toEqual([undefined, true, false]);
  });

  test('that is cleared ends, and says nothing of it', async () => {
    const run = createRun<number>();
    let finish = (_value: number): void => {};
    let given: AbortSignal | undefined;
    const first = run.start((signal) => ((given = signal), new Promise((resolve) => (finish = resolve))));
    run.clear();
    expect([given!.aborted, run.busy.value]).toEqual([true, false]);
    const second = run.start(() => Promise.resolve(2));
    finish(1);
    await Promise.all([first, second]);
    expect([run.result.value, run.busy.value, run.stopped.value]).toEqual([2, false, false]);
  });
});
