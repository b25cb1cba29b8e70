import { createRng, denseOf, type Engine, type Executor, GraphBuilder, inlineJobs, type JobHost, Model, PenjingError, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { plainKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { relativeDifference } from '../testing/relative-difference.js';
import { shardModel } from '../tensor/shard-model.js';
import { openTensor } from './open-tensor.js';

const WIDTH = 16;

/** Three feed-forward layers with a residual, and a cut output beside the whole one. */
function network(): Model {
  const rng = createRng(3);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number) => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => rng.normal() / 4)));
  let x: Value = b.input('x', tensorType('float32', ['n', WIDTH]));
  let hidden = x;
  for (let i = 0; i < 3; i++) {
    hidden = b.op('Relu', [b.op('MatMul', [x, weight(`up${i}`, WIDTH, 24)])]);
    x = b.op('Add', [x, b.op('MatMul', [hidden, weight(`down${i}`, 24, WIDTH)])]);
  }
  b.output(x, 'y', tensorType('float32', ['n', WIDTH]));
  b.output(hidden, 'hidden', tensorType('float32', ['n', 24]));
  return model;
}

const feeds = (rows: number) => ({ x: denseOf('float32', [rows, WIDTH], Array.from({ length: rows * WIDTH }, (_, i) => Math.sin(i))) });

/** Jobs that take turns in this thread, on an engine whose runs may be watched. */
function hostOf(shards: number, onRun: (run: number) => void | Promise<void> = () => {}): JobHost & { readonly open: () => number } {
  let [runs, open] = [0, 0];
  const reference = referenceEngine();
  const engine: Engine = {
    name: 'watched',
    async load(model, options) {
      const executor = await reference.load(model, options);
      open++;
      return {
        ...executor,
        async run(given, more) {
          await onRun(runs++);
          return executor.run(given, more);
        },
        async [Symbol.asyncDispose]() {
          open--;
          await executor[Symbol.asyncDispose]();
        },
      } satisfies Executor;
    },
  };
  return { ...inlineJobs({ engine, kernels: plainKernels() }), parallel: shards, open: () => open };
}

describe('a tensor-parallel executor', () => {
  test.each([1, 2, 3, 4])('of %i shards gives what one engine gives, as shapes grow and shrink', async (shards) => {
    await using whole = await referenceEngine().load(network());
    const jobs = hostOf(shards);
    {
      await using parts = await openTensor(network(), { jobs, shards, threshold: 0 });
      expect(parts.inputs.map(({ name }) => name)).toEqual(['x']);
      // from sums that each shard makes for itself to stripes of 64 KiB and more
      for (const rows of [1, 40, 2, 1200]) {
        const got = await parts.run(feeds(rows));
        expect(relativeDifference(got, await whole.run(feeds(rows)))).toBeLessThan(1e-6);
        expect(relativeDifference(await parts.run(feeds(rows)), got)).toBe(0);
      }
      expect(Object.keys(await parts.run(feeds(2), { outputs: ['hidden'] }))).toEqual(['hidden']);
      expect(jobs.open()).toBeGreaterThan(0);
    }
    expect(jobs.open()).toBe(0);
  });

  test('takes a model that is cut already', async () => {
    await using whole = await referenceEngine().load(network());
    await using parts = await openTensor(shardModel(network(), { shards: 2, threshold: 0 }), { jobs: hostOf(2) });
    expect(relativeDifference(await parts.run(feeds(3)), await whole.run(feeds(3)))).toBeLessThan(1e-6);
  });

  test('answers runs that are asked for together, each with its own', async () => {
    await using whole = await referenceEngine().load(network());
    await using parts = await openTensor(network(), { jobs: hostOf(2), threshold: 0 });
    const answers = await Promise.all([5, 1, 9, 3].map((rows) => parts.run(feeds(rows))));
    for (const [i, rows] of [5, 1, 9, 3].entries()) expect(relativeDifference(answers[i]!, await whole.run(feeds(rows)))).toBeLessThan(1e-6);
  });

  test('says what is wrong with feeds and outputs, and goes on', async () => {
    await using whole = await referenceEngine().load(network());
    await using parts = await openTensor(network(), { jobs: hostOf(2), threshold: 0 });
    await expect(parts.run({})).rejects.toMatchObject({ code: 'E_INPUT', message: /x is missing/ });
    await expect(parts.run({ ...feeds(1), z: feeds(1).x })).rejects.toMatchObject({ code: 'E_INPUT', message: /no input z/ });
    await expect(parts.run(feeds(1), { outputs: ['z'] })).rejects.toMatchObject({ code: 'E_INPUT', message: /no output z/ });
    expect(relativeDifference(await parts.run(feeds(1)), await whole.run(feeds(1)))).toBeLessThan(1e-6);
  });

  test.each([[2, 2], [2, 40], [40, 2]])('a shard that fails lets the others go, and the next run is right: after %i rows, at %i', async (before, rows) => {
    await using whole = await referenceEngine().load(network());
    let left = Infinity;
    await using parts = await openTensor(network(), { jobs: hostOf(3, () => { if (left-- === 0) throw new PenjingError('E_ENGINE', 'no more'); }), threshold: 0 });
    // segments of all shards, in any order: each stands at another exchange, and those of larger shapes begin with larger memory
    let failures = 0;
    for (let at = 0; failures === at; at++) {
      left = Infinity;
      await parts.run(feeds(before));
      left = at;
      await parts.run(feeds(rows)).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'E_ENGINE', message: expect.stringMatching(/shard \d: no more/) as string });
        failures++;
      });
      left = Infinity;
      for (const size of [rows, before, 2 * rows]) expect(relativeDifference(await parts.run(feeds(size)), await whole.run(feeds(size)))).toBeLessThan(1e-6);
    }
    expect(failures).toBeGreaterThan(6);
  });

  test('a run that is given up ends at once, and one that waits leaves the line', async () => {
    const stop = new AbortController();
    let runs = 0;
    await using whole = await referenceEngine().load(network());
    await using parts = await openTensor(network(), { jobs: hostOf(2, () => { if (++runs === 3) stop.abort(new Error('enough')); }), threshold: 0 });
    const waiting = parts.run(feeds(1), { signal: AbortSignal.any([stop.signal]) });
    await expect(parts.run(feeds(1), { signal: stop.signal })).rejects.toThrow('enough');
    await expect(waiting).rejects.toThrow('enough');
    const before = runs;
    for (const rows of [1, 40]) expect(relativeDifference(await parts.run(feeds(rows)), await whole.run(feeds(rows)))).toBeLessThan(1e-6);
    expect(before).toBeLessThan(8);
    await expect(parts.run(feeds(1), { signal: stop.signal })).rejects.toThrow('enough');
  });

  test('a model that does not load closes what was opened', async () => {
    const jobs = hostOf(2);
    const bad = network();
    for (const node of bad.graph.nodes()) if (node.name === 'Relu_2') node.opType = 'Nonsense';
    const parts = await openTensor(bad, { jobs, threshold: 0 });
    await expect(parts.run(feeds(1))).rejects.toThrow(/Nonsense/);
    await parts[Symbol.asyncDispose]();
    await expect(parts.run(feeds(1))).rejects.toMatchObject({ code: 'E_DISPOSED' });
    expect(jobs.open()).toBe(0);
    await expect(openTensor(network(), { jobs, shards: 4 })).rejects.toMatchObject({ code: 'E_OPTION' });
  });

  test('disposing during a run ends it', async () => {
    const parts: Executor = await openTensor(network(), { jobs: hostOf(2, () => new Promise((resolve) => setImmediate(resolve))), threshold: 0 });
    const run = expect(parts.run(feeds(1))).rejects.toMatchObject({ code: 'E_DISPOSED' });
    const later = expect(parts.run(feeds(1))).rejects.toMatchObject({ code: 'E_DISPOSED' });
    await new Promise((resolve) => setImmediate(resolve));
    await parts[Symbol.asyncDispose]();
    await run;
    await later;
  });
});
