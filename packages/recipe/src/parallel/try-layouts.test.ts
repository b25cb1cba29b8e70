/** Layouts over engines that compute nothing: they sleep, and count what is open. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Engine, GraphBuilder, Model, PenjingError, tensorType } from '@penjing/core';
import type { Planned } from '@penjing/parallel';
import { describe, expect, test, vi } from 'vitest';
import { tryLayouts } from './try-layouts.js';

function identity(): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  b.output(b.op('Neg', [b.input('x', tensorType('float32', [1]))]), 'y', tensorType('float32', [1]));
  return model;
}

/** `threads` of an engine are the milliseconds that it takes; with more than 90 it cannot be loaded. */
class SleepingEngine implements Engine {
  readonly name = 'sleeping';
  open = 0;
  most = 0;
  loads = 0;
  onRun: () => void = () => {};

  load(_: Model, { threads = 1 } = {}): ReturnType<Engine['load']> {
    if (threads > 90) return Promise.reject(new PenjingError('E_ENGINE', 'too many threads'));
    this.loads++;
    this.most = Math.max(this.most, ++this.open);
    return Promise.resolve({
      inputs: [{ name: 'x', type: tensorType('float32', [1]) }],
      outputs: [],
      run: async (_feeds, { signal } = {}) => {
        this.onRun();
        await sleep(threads, undefined, signal ? { signal } : {});
        return {};
      },
      [Symbol.asyncDispose]: () => Promise.resolve(void this.open--),
    });
  }
}

const candidate = (name: string, threads: number, bytes = 100): Planned => ({ name, layout: { kind: 'device', device: 'a', threads }, complexity: 0, timeline: [], forecast: { latency: 1, throughput: 1, memory: { a: bytes }, bubble: 0, efficiency: 1 } });
const device = { name: 'a', host: 'h', memoryBytes: 250, flops: 1e9, memoryBandwidth: 1e9, cores: 1 };
const devices = [device];
const options = { goal: 'latency', sizes: {}, devices, seconds: 0.005, rounds: 3 } as const;

test('what each layout gave, and why one did not run', async () => {
  const engine = new SleepingEngine();
  const items: string[] = [];
  const trials = await tryLayouts(identity(), { ...options, engine, candidates: [candidate('slow', 30), candidate('quick', 2), candidate('broken', 91, 0)], beforeRound: () => Promise.resolve(void items.push('before')), onProgress: ({ item }) => void items.push(item!) });
  expect(trials).toEqual([{ name: 'slow', measured: { latency: expect.any(Number) as number } }, { name: 'quick', measured: { latency: expect.any(Number) as number } }, { name: 'broken', failed: 'too many threads' }]);
  expect(trials[0]!.measured!.latency!).toBeGreaterThan(trials[1]!.measured!.latency!);
  // In turn, and what failed is left alone.
  expect(items).toEqual(['before', 'slow', 'quick', 'broken', 'before', 'slow', 'quick', 'before', 'slow', 'quick']);
  expect([engine.open, engine.most, engine.loads]).toEqual([0, 2, 2]);
});

describe('a file that is written for all engines', () => {
  /** Stages, none of which is the whole model. */
  const stages: Planned = { ...candidate('stages', 1), layout: { kind: 'pipeline', microBatches: 1, stages: [{ inputs: ['x'], outputs: ['h'], layout: { kind: 'device', device: 'a' } }, { inputs: ['h'], outputs: ['y'], layout: { kind: 'device', device: 'a' } }] } };
  const two = (): Model => {
    const model = new Model();
    model.opsetImports.set('', 17);
    model.irVersion = 9;
    const b = new GraphBuilder(model.graph);
    const h = b.op('Neg', [b.input('x', tensorType('float32', [1]))]);
    Object.assign(h, { name: 'h', type: tensorType('float32', [1]) });
    b.output(b.op('Exp', [h]), 'y', tensorType('float32', [1]));
    return model;
  };

  test('and cannot be is a failure of those alone that run the model whole', async () => {
    const trials = await tryLayouts(two(), { ...options, rounds: 1, candidates: [candidate('whole', 1), stages], file: () => Promise.reject(new PenjingError('E_DISK_FULL', 'no room')) });
    expect(trials).toEqual([{ name: 'whole', failed: 'no room' }, { name: 'stages', measured: { latency: expect.any(Number) as number } }]);
  });

  test('takes none of the time of the trials', async () => {
    const now = performance.now.bind(performance);
    let later = 0;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + later);
    let asked = 0;
    try {
      const file = (): Promise<undefined> => {
        asked++;
        later += 1e6;
        return Promise.resolve(undefined);
      };
      const trials = await tryLayouts(two(), { ...options, rounds: 1, budget: 900, candidates: [candidate('whole', 1), candidate('again', 1)], file });
      expect([trials.map(({ measured }) => measured !== undefined), asked]).toEqual([[true, true], 1]);
    } finally {
      clock.mockRestore();
    }
  });
});

test('layouts that the devices do not hold together are open one after the other', async () => {
  const engine = new SleepingEngine();
  await tryLayouts(identity(), { ...options, engine, candidates: [candidate('a', 1, 200), candidate('b', 1, 200)] });
  expect([engine.open, engine.most, engine.loads]).toEqual([0, 1, 6]);
});

test('nor are those that this machine does not hold together, whatever the devices have', async () => {
  for (const [memory, most] of [[399, 1], [400, 2]] as const) {
    const engine = new SleepingEngine();
    await tryLayouts(identity(), { ...options, devices: [{ ...device, memoryBytes: 1e9 }], memory, engine, candidates: [candidate('a', 1, 200), candidate('b', 1, 200)] });
    expect([engine.open, engine.most]).toEqual([0, most]);
  }
});

test.each([
  ['have no shape', tensorType('float32', undefined), 'E_INPUT'],
  ['are no tensors', { kind: 'sequence', of: tensorType('float32', [1]) }, 'E_UNSUPPORTED'],
  ['are larger than any list of numbers', tensorType('float32', ['n', 2 ** 20]), 'E_LIMIT'],
] as const)('inputs that %s are told before anything is open', async (_, type, code) => {
  const engine = new SleepingEngine();
  const model = identity();
  model.graph.inputs[0]!.type = type;
  await expect(tryLayouts(model, { ...options, sizes: { n: 2 ** 28 }, engine, candidates: [candidate('a', 1)] })).rejects.toMatchObject({ code });
  expect([engine.open, engine.loads]).toEqual([0, 0]);
});

test('requests that come together count by their number, and no turn begins when the time is up', async () => {
  const engine = new SleepingEngine();
  let underWay = 0;
  engine.onRun = () => void underWay++;
  const items: string[] = [];
  const [trial] = await tryLayouts(identity(), { ...options, goal: 'throughput', budget: 0, engine, candidates: [candidate('a', 20)], onProgress: ({ item }) => void items.push(item!) });
  // Four at a time, each of 20 ms or more.
  expect(trial!.measured!.throughput!).toBeLessThanOrEqual(4 / 0.019);
  expect(underWay).toBeGreaterThanOrEqual(8);
  expect(items).toEqual(['a']);
});

test('when the time is up in the first round, those that had no turn are not told of', async () => {
  const engine = new SleepingEngine();
  const trials = await tryLayouts(identity(), { ...options, budget: 0, engine, candidates: [candidate('a', 1), candidate('b', 1)] });
  expect(trials.map(({ name }) => name)).toEqual(['a']);
  expect([engine.open, engine.loads]).toEqual([0, 1]);
});

test('what a run throws that is no failure of a layout leaves nothing open', async () => {
  const engine = new SleepingEngine();
  engine.onRun = () => { throw new RangeError('by mistake'); };
  await expect(tryLayouts(identity(), { ...options, engine, candidates: [candidate('a', 1)] })).rejects.toThrow('by mistake');
  expect([engine.open, engine.loads]).toEqual([0, 1]);
});

test('a disk without room is a failure of the layout that needs it', async () => {
  const engine = new SleepingEngine();
  engine.onRun = () => {
    engine.onRun = () => {};
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write', path: 'spills' });
  };
  const trials = await tryLayouts(identity(), { ...options, rounds: 1, engine, candidates: [candidate('a', 1), candidate('b', 1)] });
  expect(trials).toEqual([{ name: 'a', failed: 'spills: the disk is full' }, { name: 'b', measured: { latency: expect.any(Number) as number } }]);
  expect([engine.open, engine.loads]).toEqual([0, 2]);
});

test('a signal ends it and leaves nothing open', async () => {
  const engine = new SleepingEngine();
  const ended = new AbortController();
  let runs = 0;
  engine.onRun = () => { if (++runs === 4) ended.abort(); };
  await expect(tryLayouts(identity(), { ...options, engine, candidates: [candidate('a', 1), candidate('b', 1)], signal: ended.signal })).rejects.toMatchObject({ name: 'AbortError' });
  expect(engine.open).toBe(0);
});

test('memory cannot be tried', async () => {
  await expect(tryLayouts(identity(), { ...options, goal: 'memory', candidates: [] })).rejects.toMatchObject({ code: 'E_OPTION' });
});
