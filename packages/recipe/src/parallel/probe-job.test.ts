/** Probes in this thread, over an engine that computes nothing: when engines begin and end, and what becomes of the others when one fails. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Engine, inlineJobs } from '@penjing/core';
import { plainKernels } from '@penjing/kernels';
import { expect, test } from 'vitest';
import { probeSeconds } from './probe-job.js';

/** Every second engine loads, and runs, more slowly. */
class UnequalEngine implements Engine {
  readonly name = 'unequal';
  readonly events: string[] = [];
  open = 0;
  #count = 0;

  constructor(readonly fails = false) {}

  async load(): Promise<Awaited<ReturnType<Engine['load']>>> {
    const name = this.#count++ % 2 === 0 ? 'quick' : 'slow';
    await sleep(name === 'quick' ? 1 : 20);
    if (this.fails && name === 'slow') throw new Error('no memory');
    this.open++;
    return {
      inputs: [],
      outputs: [],
      run: async (_feeds, { signal } = {}) => {
        this.events.push(name);
        await sleep(name === 'quick' ? 2 : 10, undefined, signal ? { signal } : {});
        return {};
      },
      [Symbol.asyncDispose]: () => Promise.resolve(void this.open--),
    };
  }
}

const jobsOf = (engine: Engine) => inlineJobs({ engine, kernels: plainKernels() });

test('engines side by side are timed while all of them run', async () => {
  const engine = new UnequalEngine();
  const seconds = await probeSeconds(jobsOf(engine), 0, 2, { threads: 1, seconds: 0.001 });
  expect(seconds).toBeGreaterThan(0.005);
  expect(engine.open).toBe(0);
  // Both warm up, then neither ends before the slow one has its five runs.
  const slow = engine.events.filter((name) => name === 'slow').length;
  expect(slow).toBeGreaterThanOrEqual(2 + 5);
  expect(engine.events.lastIndexOf('quick')).toBeGreaterThan(engine.events.indexOf('slow') + 5);
});

test('one that fails is waited for by nobody', async () => {
  const engine = new UnequalEngine(true);
  await expect(probeSeconds(jobsOf(engine), 0, 2, { threads: 1, seconds: 0.001 })).rejects.toThrow('no memory');
  expect(engine.open).toBe(0);
});

test('a signal ends it', async () => {
  const engine = new UnequalEngine();
  const ended = new AbortController();
  setTimeout(() => ended.abort(), 15);
  await expect(probeSeconds(jobsOf(engine), 0, 2, { threads: 1, seconds: 60, signal: ended.signal })).rejects.toMatchObject({ name: 'AbortError' });
  expect(engine.open).toBe(0);
});
