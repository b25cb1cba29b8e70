import { type DenseTensor, denseOf, type Engine, type Executor, type Feeds, GraphBuilder, Model, PenjingError, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import type { Layout } from '../plan/plan.js';
import { valuesOf } from '../testing/hand-executor.js';
import { openEnsemble } from './ensemble.js';
import { openLayout } from './open-layout.js';

const engine = referenceEngine();
const device: Layout = { kind: 'device', device: 'cpu' };
const weight = (seed: number): DenseTensor => denseOf('float32', [4, 4], Array.from({ length: 16 }, (_, i) => Math.sin(seed + i)));

/** Two towers over x and a mask, and what joins them: names of values are their own. */
function towers(): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['batch', 4]));
  const mask = b.input('mask', tensorType('float32', ['batch', 4]));
  const layer = (from: typeof x, name: string): typeof x => b.op('Relu', [b.op('MatMul', [from, b.initializer(`${name}.w`, weight(name.length))])], {}, { outputs: [name] });
  const stem = layer(x, 'stem');
  const [left, right] = [b.op('Mul', [layer(stem, 'left'), mask], {}, { outputs: ['left.out'] }), layer(stem, 'right.out')];
  b.output(b.op('Add', [left, right]), 'sum', tensorType('float32', ['batch', 4]));
  b.output(layer(right, 'tail'), 'y', tensorType('float32', ['batch', 4]));
  return model;
}

const feeds = (rows: number): Feeds => Object.fromEntries(['x', 'mask'].map((name, n) => [name, denseOf('float32', [rows, 4], Array.from({ length: rows * 4 }, (_, i) => Math.cos(i * (n + 1))))]));

async function outputsOf(executor: Executor, rows: number): Promise<Record<string, number[]>> {
  const fetched = await executor.run(feeds(rows));
  return Object.fromEntries(Object.entries(fetched).map(([name, tensor]) => [name, valuesOf(tensor)]));
}

const pipeline = (layout: Layout = device): Layout => ({
  kind: 'pipeline',
  microBatches: 3,
  stages: [{ inputs: ['x'], outputs: ['stem'], layout }, { inputs: ['stem', 'mask'], outputs: ['sum', 'right.out'], layout }, { inputs: ['right.out'], outputs: ['y'], layout: device }],
});
const replicas = (count: number, of: Layout = device): Layout => ({ kind: 'data', reduction: 'concat', replicas: Array<Layout>(count).fill(of) });
const branches: Layout = {
  kind: 'tasks',
  parts: [
    { inputs: ['x'], outputs: ['stem'], layout: device },
    { inputs: ['stem', 'mask'], outputs: ['left.out'], layout: device },
    { inputs: ['stem'], outputs: ['right.out'], layout: replicas(2) },
    { inputs: ['left.out', 'right.out'], outputs: ['sum', 'y'], layout: device },
  ],
};

describe('a layout gives what one engine gives', () => {
  test.each<[string, Layout]>([
    ['a device', device],
    ['replicas', replicas(3)],
    ['a pipeline', pipeline()],
    ['branches', branches],
    ['replicas of pipelines', replicas(2, pipeline())],
    ['a pipeline of replicas', pipeline(replicas(2))],
  ])('%s', async (_, layout) => {
    await using single = await engine.load(towers());
    await using executor = await openLayout(towers(), layout, { engine });
    expect([executor.inputs, executor.outputs].map((values) => values.map(({ name }) => name))).toEqual([['x', 'mask'], ['sum', 'y']]);
    for (const rows of [1, 2, 7]) expect(await outputsOf(executor, rows)).toEqual(await outputsOf(single, rows));
  });
});

test('what was opened is closed when a part cannot be', async () => {
  const open = new Set<Executor>();
  const counting = { name: 'counting', load: async (model: Model) => {
    if (model.graph.outputs[0]!.name === 'y') throw new Error('no room');
    const executor = await engine.load(model);
    open.add(executor);
    return { ...executor, run: executor.run.bind(executor), [Symbol.asyncDispose]: async () => void open.delete(executor) };
  } };
  await expect(openLayout(towers(), pipeline(), { engine: counting })).rejects.toThrow('no room');
  expect(open.size).toBe(0);
});

test.each<[string, Layout, string | undefined, string]>([
  ['a part that needs more', { kind: 'pipeline', microBatches: 1, stages: [{ inputs: ['x'], outputs: ['sum', 'y'], layout: device }] }, undefined, 'E_GRAPH'],
  ['parts that leave an output out', { kind: 'tasks', parts: [{ inputs: ['x'], outputs: ['stem'], layout: device }] }, undefined, 'E_GRAPH'],
  ['no replicas', replicas(0), undefined, 'E_OPTION'],
  ['a batch that is none', replicas(2), 'rows', 'E_OPTION'],
])('%s is refused', async (_, layout, batch, code) => {
  await expect(openLayout(towers(), layout, { engine, ...(batch && { batch }) })).rejects.toMatchObject({ code });
});

test.each<[string, Layout]>([['a device', device], ['an ensemble', { kind: 'data', reduction: 'mean', replicas: [device, device] }]])('%s is opened again long after the signal of its opening', async (_, layout) => {
  const dead = new Set<Executor>();
  const loaded: Executor[] = [];
  const mortal: Engine = { name: 'mortal', async load(model, options = {}) {
    options.signal?.throwIfAborted();
    const inner = await engine.load(model);
    const executor: Executor = { ...inner, run: (given, more) => (dead.has(executor) ? Promise.reject(new PenjingError('E_WORKER', 'the worker ended')) : inner.run(given, more)) };
    loaded.push(executor);
    return executor;
  } };
  const opening = new AbortController();
  await using executor = await openLayout(towers(), layout, { engine: mortal, signal: opening.signal });
  const before = await outputsOf(executor, 2);
  opening.abort(new Error('the time to open it is over'));
  for (const one of loaded) dead.add(one);
  const count = loaded.length;
  // inputs of the sum of an ensemble are given away: a run that meets its death is lost
  await executor.run(feeds(2)).catch(() => {});
  expect(await outputsOf(executor, 2)).toEqual(before);
  expect(loaded.length).toBe(2 * count);
});

describe('an ensemble', () => {
  const model = (factor: number, dtype: 'float32' | 'int64' = 'float32'): Model => {
    const made = new Model();
    made.opsetImports.set('', 17);
    const b = new GraphBuilder(made.graph);
    b.output(b.op('Mul', [b.input('x', tensorType(dtype, ['n'])), b.constant(dtype, factor)]), 'y', tensorType(dtype, ['n']));
    return made;
  };
  const load = (factors: readonly number[], dtype?: 'int64'): Promise<Executor[]> => Promise.all(factors.map((factor) => engine.load(model(factor, dtype))));
  const x = denseOf('float32', [3], [1, 0.1, -2.7]);

  test.each(['mean', 'sum'] as const)('%s adds in the order of the models, in their type', async (reduction) => {
    const factors = [0.1, 0.7, 3, 1e-7];
    await using all = await openEnsemble({ replicas: await load(factors), reduction, engine });
    const expected = [...(x.data as Float32Array)].map((value) => {
      const sum = factors.map((factor) => Math.fround(value * Math.fround(factor))).reduce((a, b) => Math.fround(a + b));
      return reduction === 'mean' ? Math.fround(sum / factors.length) : sum;
    });
    expect(valuesOf((await all.run({ x }))['y'])).toEqual(expected);
  });

  test('what has no mean is refused', async () => {
    await expect(openEnsemble({ replicas: await load([1, 2], 'int64'), reduction: 'mean', engine })).rejects.toMatchObject({ code: 'E_DTYPE' });
    const [odd] = await load([1], 'int64');
    const [even] = await load([1]);
    await expect(openEnsemble({ replicas: [even!, odd!], reduction: 'sum', engine })).rejects.toMatchObject({ code: 'E_GRAPH' });
  });
});
