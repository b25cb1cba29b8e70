/** What is open when, by engines that compute nothing: they count what was asked of them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DenseTensor, type Engine, GraphBuilder, Model, tensorType } from '@penjing/core';
import { expect, test } from 'vitest';
import { measureModel, type MeasureModelOptions } from './measure-model.js';

/** 4 KiB of weights; 256 bytes of activations for each of both values of 2 rows. */
function layer(): Model {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  b.output(b.op('MatMul', [b.input('x', tensorType('float32', ['batch', 32])), b.initializer('w', DenseTensor.of('float32', [32, 32], new Float32Array(1024)))]), 'y', tensorType('float32', ['batch', 32]));
  return model;
}

class CountingEngine implements Engine {
  readonly name = 'counting';
  /** Threads of the engines that are open, each time one was opened. */
  readonly open: number[][] = [];
  now: number[] = [];
  underWay = 0;
  onRun: () => void = () => {};

  load(_: Model, { threads = 0 } = {}): ReturnType<Engine['load']> {
    this.now = [...this.now, threads];
    this.open.push(this.now);
    return Promise.resolve({
      inputs: [{ name: 'x', type: tensorType('float32', ['batch', 32]) }],
      outputs: [],
      run: async (_feeds, { signal } = {}) => {
        this.underWay++;
        this.onRun();
        try {
          await sleep(1, undefined, signal ? { signal } : {});
          return {};
        } finally {
          this.underWay--;
        }
      },
      [Symbol.asyncDispose]: () => {
        this.now = this.now.toSpliced(this.now.indexOf(threads), 1);
        return Promise.resolve();
      },
    });
  }
}

const devices = (count: number, memoryBytes: number, cores?: number): MeasureModelOptions['devices'] =>
  Array.from({ length: count }, (_, i) => ({ name: `d${i}`, host: 'h', memoryBytes, flops: 1e9, memoryBandwidth: 1e9, ...(cores !== undefined && { cores }) }));

test.each([
  ['that hold a model each, all at once', devices(3, 10_000), [[1], [1], [1, 1], [1, 1, 1], [3]], [1, 1, 3], true],
  ['that hold it together only, one after the other', devices(3, 2_000), [[1], [3]], [1, 1, 3], false],
  ['that do not hold it, none', devices(3, 1_000), [], [], false],
  ['of which there is one, with all its cores', devices(1, 10_000, 8), [[8]], [8, 8], false],
  ['of several cores', devices(2, 10_000, 4), [[4], [4], [4, 4], [8]], [4, 4, 8], true],
])('opens engines on devices %s', async (_, list, open, threads, together) => {
  const engine = new CountingEngine();
  const items: string[] = [];
  const times = await measureModel(layer(), { devices: list, sizes: { batch: 2 }, seconds: 0.002, engine, onProgress: ({ done, total }) => void items.push(`${done + 1} of ${total}`) });
  expect([engine.open, engine.now]).toEqual([open, []]);
  expect(times.map((each) => each.threads)).toEqual(threads);
  expect(times.filter((each) => each.together !== undefined)).toHaveLength(together ? 2 : 0);
  expect(items.at(-1)).toBe(items.length === 0 ? undefined : `${items.length} of ${items.length}`);
});

test('devices that differ: what is beside others is told of those like the fastest', async () => {
  const engine = new CountingEngine();
  const [a, b] = [devices(1, 10_000, 1)[0]!, { ...devices(1, 10_000, 2)[0]!, name: 'fast', flops: 2e9 }];
  const times = await measureModel(layer(), { devices: [a, b], sizes: { batch: 1 }, seconds: 0.002, engine });
  expect(engine.open).toEqual([[2], [2], [2, 1], [3]]);
  expect(times).toEqual([expect.objectContaining({ threads: 2, together: expect.any(Number) as number }), expect.objectContaining({ threads: 3 })]);
});

test('a signal ends both requests that are under way, and nothing is left', async () => {
  const engine = new CountingEngine();
  const interrupted = new AbortController();
  engine.onRun = () => { if (engine.underWay === 2) setTimeout(() => interrupted.abort(), 5); };
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  try {
    await expect(measureModel(layer(), { devices: devices(2, 10_000), sizes: { batch: 2 }, engine, signal: interrupted.signal })).rejects.toMatchObject({ name: 'AbortError' });
    await sleep(10);
  } finally {
    process.off('unhandledRejection', note);
  }
  expect([unhandled, engine.underWay, engine.now]).toEqual([[], 0, []]);
});
