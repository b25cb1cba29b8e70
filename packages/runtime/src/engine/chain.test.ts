import type { Worker } from 'node:worker_threads';
import { type DenseTensor, denseOf, type Executor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { liveSessionHosts } from '../session-host.js';
import { ortEngine } from './ort-engine.js';

const engine = ortEngine({ threads: 1 });
const workers: Worker[] = [];
const note = (worker: Worker): void => void workers.push(worker);
beforeAll(() => void process.on('worker', note));
afterAll(() => void process.off('worker', note));
afterEach(() => expect(liveSessionHosts()).toBe(0));

function stage(inputs: readonly string[], build: (b: GraphBuilder, values: Value[]) => Readonly<Record<string, Value>>): { readonly model: Model } {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const made = build(b, inputs.map((name) => b.input(name, tensorType('float32', ['n']))));
  for (const [name, value] of Object.entries(made)) b.output(value, name, tensorType('float32', ['n']));
  return { model };
}

/** a = x + 1; b = a · scale; y = b + x + a. What a later stage reads passes through those between. */
const stages = [
  stage(['x'], (b, [x]) => ({ a: b.op('Add', [x!, b.constant('float32', 1)]) })),
  stage(['a', 'scale'], (b, [a, scale]) => ({ b: b.op('Mul', [a!, scale!]) })),
  stage(['b', 'x', 'a'], (b, [product, x, a]) => ({ y: b.op('Add', [b.op('Add', [product!, x!]), a!]) })),
];
const open = (outputs: readonly string[] = ['y']): Promise<Executor> => engine.loadChain!(stages, { outputs });
const float = (...values: number[]): DenseTensor => denseOf('float32', [values.length], values);
const numbersOf = (tensor: unknown): number[] => [...((tensor as DenseTensor).data as Float32Array)];

describe('a chain', () => {
  test('passes on what later stages and the caller read, and takes what no stage gives', async () => {
    await using chain = await open(['b', 'y']);
    expect([chain.inputs, chain.outputs].map((infos) => infos.map(({ name }) => name))).toEqual([['x', 'scale'], ['b', 'y']]);
    const feeds = { x: float(1, 2), scale: float(10, 20) };
    const { b, y } = await chain.run(feeds);
    expect([numbersOf(b), numbersOf(y)]).toEqual([[20, 60], [23, 65]]);
    expect(numbersOf(feeds.x)).toEqual([1, 2]);
    expect(Object.keys(await chain.run(feeds, { outputs: ['b'] }))).toEqual(['b']);
    const many = await Promise.all(Array.from({ length: 20 }, (_, i) => chain.run({ x: float(i), scale: float(1) })));
    expect(many.map((one) => numbersOf(one['y']))).toEqual(Array.from({ length: 20 }, (_, i) => [3 * i + 2]));
  });

  test('takes the buffers that it is given', async () => {
    await using chain = await open();
    // above the size from which freed buffers are given back at once
    const x = float(...Array<number>(10_000).fill(2));
    const { y } = await chain.run({ x, scale: float(1) }, { transfer: ['x'] });
    expect(x.bytes.byteLength).toBe(0);
    expect(new Set(numbersOf(y))).toEqual(new Set([8]));
  });

  test('a run that fails in a stage fails alone', async () => {
    await using chain = await open();
    const [good, bad, last] = await Promise.allSettled([chain.run({ x: float(1, 2), scale: float(1) }), chain.run({ x: float(1, 2), scale: float(1, 2, 3) }), chain.run({ x: float(5), scale: float(1) })]);
    expect(bad).toMatchObject({ status: 'rejected', reason: { code: 'E_ENGINE' } });
    expect([good, last].map((one) => one.status === 'fulfilled' && numbersOf(one.value['y']))).toEqual([[5, 8], [17]]);
    await expect(chain.run({ x: float(1) })).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(chain.run({ x: float(1), scale: float(1) }, { outputs: ['a'] })).rejects.toMatchObject({ code: 'E_INPUT' });
  });

  test('a run that is given up rejects at once, and those around it go on', async () => {
    await using chain = await open();
    const controller = new AbortController();
    const runs = Array.from({ length: 9 }, (_, i) => chain.run({ x: float(i), scale: float(1) }, i % 3 === 1 ? { signal: controller.signal } : {}));
    await Promise.resolve();
    controller.abort(new Error('never mind'));
    const settled = await Promise.allSettled(runs);
    expect(settled.map((one) => (one.status === 'fulfilled' ? numbersOf(one.value['y']) : (one.reason as Error).message))).toEqual(Array.from({ length: 9 }, (_, i) => (i % 3 === 1 ? 'never mind' : [3 * i + 2])));
    await expect(chain.run({ x: float(1), scale: float(1) }, { signal: controller.signal })).rejects.toThrow('never mind');
  });

  test('a stage is opened again when its worker dies, each time, and the others stay', async () => {
    workers.splice(0);
    await using chain = await open();
    // the first, the one in the middle, and the one that stands for the first
    for (const [count, dead] of [0, 1, 3].entries()) {
      const ended = workers[dead]!.terminate();
      await expect(chain.run({ x: float(1), scale: float(1) })).rejects.toMatchObject({ code: 'E_WORKER' });
      await ended;
      const runs = await Promise.all([1, 2, 3].map((i) => chain.run({ x: float(i), scale: float(1) })));
      expect(runs.map((one) => numbersOf(one['y']))).toEqual([[5], [8], [11]]);
      expect(workers).toHaveLength(4 + count);
    }
  });

  test('disposing ends what runs, and what cannot be opened leaves nothing', async () => {
    const chain = await open();
    const running = chain.run({ x: float(1), scale: float(1) });
    running.catch(() => {});
    await chain[Symbol.asyncDispose]();
    await expect(running).rejects.toMatchObject({ code: 'E_DISPOSED' });
    await expect(chain.run({ x: float(1), scale: float(1) })).rejects.toMatchObject({ code: 'E_DISPOSED' });
    const odd = stage(['y'], (b, [y]) => ({ z: b.op('NoSuchOperator', [y!]) }));
    await expect(engine.loadChain!([...stages, odd], { outputs: ['z'] })).rejects.toMatchObject({ code: 'E_UNSUPPORTED' });
    await expect(open(['nothing'])).rejects.toMatchObject({ code: 'E_GRAPH' });
    await expect(engine.loadChain!(stages, { outputs: ['y'], signal: AbortSignal.abort(new Error('too late')) })).rejects.toThrow('too late');
    await vi.waitFor(() => expect(liveSessionHosts()).toBe(0), { timeout: 10_000 });
  });

  test('an engine whose sessions live on the calling thread has none', () => {
    expect(ortEngine({ thread: 'calling' }).loadChain).toBeUndefined();
  });
});
