import { rm } from 'node:fs/promises';
import { type DenseTensor, type Executor, GraphBuilder, Model, createRng, denseOf, tensorType } from '@penjing/core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ortEngine } from '../engine/ort-engine.js';
import { liveSessionHosts } from '../session-host.js';
import { writeModelFolder } from '../testing/model-folder.js';
import { tinyDecoder } from '../testing/tiny-decoder.js';
import { compareModels } from './compare-models.js';
import { evaluateModel } from './evaluate-model.js';

let folder: string;
beforeAll(async () => (folder = await writeModelFolder({ '': tinyDecoder(), _q4: tinyDecoder({ noise: 0.02 }), _nocache: tinyDecoder({ cache: false }) })));
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => expect(liveSessionHosts()).toBe(0));

const rng = createRng(3);
const text = Array.from({ length: 150 }, () => String.fromCharCode(97 + rng.below(26))).join('');

describe('language models', () => {
  test('perplexity, KL divergence and agreement equal those of a plain computation', async () => {
    const result = await compareModels(folder, { path: folder, variant: 'q4' }, { text, threads: 1 });
    const expected = await plainScores(text);
    expect(result).toMatchObject({ kind: 'language', count: expected.count, data: 'text in windows of 64 tokens' });
    expect(result.a.perplexity).toBeCloseTo(expected.perplexityA, 4);
    expect(result.b.perplexity).toBeCloseTo(expected.perplexityB, 4);
    expect(result.klDivergence).toBeCloseTo(expected.kl, 5);
    expect(result.topTokenAgreement).toBeCloseTo(expected.agreement, 10);
    expect(result.maxError).toBeCloseTo(expected.maxError, 4);
    expect(result.klDivergence).toBeGreaterThan(0);
    expect(result.snrDb).toBeGreaterThan(5);
    expect(result.a.bytes).toBeGreaterThan(1000);
  });

  test('a model is equal to itself, cached or not', async () => {
    const same = await compareModels(folder, folder, { text, threads: 1 });
    expect(same).toMatchObject({ klDivergence: 0, topTokenAgreement: 1, snrDb: Infinity, maxError: 0, sizeRatio: 1 });
    const uncached = await compareModels(folder, { path: folder, variant: 'nocache' }, { text, threads: 1 });
    expect(uncached.topTokenAgreement).toBe(1);
    expect(uncached.maxError).toBeLessThan(1e-4);
    const half = await compareModels(folder, tinyDecoder({ half: true }), { text, threads: 1 });
    expect(half.topTokenAgreement).toBeGreaterThan(0.95);
    expect(half.snrDb).toBeGreaterThan(40);
  });

  test('without a text, seeded random tokens; models in memory', async () => {
    const run = () => compareModels(tinyDecoder(), tinyDecoder({ noise: 0.02 }), { seed: 5, threads: 1 });
    const [first, second] = [await run(), await run()];
    expect(first).toMatchObject({ kind: 'language', data: 'random tokens, seed 5', count: 252 });
    expect(first.klDivergence).toBe(second.klDivergence);
    await expect(compareModels(tinyDecoder(), tinyDecoder(), { text })).rejects.toMatchObject({ code: 'E_INPUT' });
  });

  test('windows, limits and progress', async () => {
    const seen: number[] = [];
    const result = await evaluateModel(folder, { tokens: Array.from({ length: 30 }, (_, i) => i % 32), windowTokens: 8, maxTokens: 20, threads: 1, onProgress: ({ done }) => seen.push(done) });
    // Windows of 8, 8 and 4 tokens predict 7, 7 and 3.
    expect(result.count).toBe(17);
    expect(seen).toEqual([7, 14, 17]);
    await expect(evaluateModel(folder, { text: 'a', windowTokens: 100 })).rejects.toMatchObject({ code: 'E_OPTION' });
    await expect(evaluateModel(folder, { tokens: [1] })).rejects.toMatchObject({ code: 'E_INPUT' });
    await expect(evaluateModel(linear(1), { tokens: [1, 2] })).rejects.toMatchObject({ code: 'E_LAYOUT' });
  });

  test('cancelled', async () => {
    await expect(compareModels(folder, folder, { text, signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
  });
});

/** y = scale·x, and an integer output beside it. */
function linear(scale: number): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['batch', 3, 'width']));
  b.output(b.op('Mul', [x, b.constant('float32', scale)]), 'y', tensorType('float32', ['batch', 3, 'width']));
  b.output(b.op('ArgMax', [x], { axis: 1, keepdims: 0 }), 'top', tensorType('int64', ['batch', 'width']));
  return model;
}

describe('other models', () => {
  test('signal-to-noise ratio and largest error per output', async () => {
    const x = denseOf('float32', [1, 3, 1], [1, 2, -4]);
    const result = await compareModels(linear(1), linear(1.01), { feeds: [{ x }], threads: 1 });
    expect(result.outputs.map(({ name, elements }) => [name, elements])).toEqual([['y', 3], ['top', 1]]);
    expect(result.outputs[0]!.snrDb).toBeCloseTo(40, 3);
    expect(result.outputs[0]!.maxError).toBeCloseTo(0.04, 5);
    expect(result.outputs[1]).toMatchObject({ snrDb: Infinity, maxError: 0 });
    expect(result).toMatchObject({ kind: 'generic', data: 'given inputs', count: 1 });
    expect(result.klDivergence).toBeUndefined();
  });

  test('random inputs follow the seed and the sizes given', async () => {
    const options = { seed: 9, samples: 2, dims: { width: 5 }, threads: 1 };
    const result = await compareModels(linear(1), linear(2), options);
    expect(result).toMatchObject({ count: 2, data: 'random inputs, seed 9', snrDb: expect.closeTo(0, 5) as number });
    expect(result.outputs[0]!.elements).toBe(2 * 3 * 5);
    expect((await compareModels(linear(1), linear(2), options)).maxError).toBe(result.maxError);
  });

  test('accuracy, agreement and the table of a paired test, from labels', async () => {
    // rows (2, classes 3): a finds classes 2 and 0; b, whose signs are turned, 0 and 1 (the first of equals)
    const x = denseOf('float32', [2, 3, 1], [1, 2, 4, 3, -1, -1]);
    const labelled = [{ feeds: { x }, labels: [2, 1] }, { feeds: { x }, labels: [0, 0] }];
    const result = await compareModels(linear(1), linear(-1), { labelled, threads: 1 });
    expect(result).toMatchObject({ data: 'samples', count: 2, topClassAgreement: 0, a: { accuracy: 0.5 }, b: { accuracy: 0.5 }, paired: { both: 0, onlyA: 2, onlyB: 2, neither: 0 } });
    expect(await evaluateModel(linear(1), { labelled, threads: 1 })).toMatchObject({ accuracy: 0.5, count: 4, data: 'labelled samples' });
    // the integers of ArgMax are classes as they are
    expect(await evaluateModel(linear(1), { labelled, classes: 'top', threads: 1 })).toMatchObject({ accuracy: 0.5 });
    await expect(evaluateModel(linear(1), { labelled: [{ feeds: { x } }], threads: 1 })).rejects.toMatchObject({ code: 'E_DATA' });
    await expect(evaluateModel(linear(1), { labelled: [{ feeds: { x }, labels: [1] }], threads: 1 })).rejects.toMatchObject({ code: 'E_DATA' });
    await expect(evaluateModel(linear(1), { labelled: [], threads: 1 })).rejects.toMatchObject({ code: 'E_DATA' });
    const picture = denseOf('float32', [1, 3, 2], [1, 2, 4, 3, -1, -1]);
    await expect(evaluateModel(linear(1), { labelled: [{ feeds: { x: picture }, labels: [1] }], threads: 1 })).rejects.toMatchObject({ code: 'E_SHAPE' });
  });

  test('models that do not fit each other are named', async () => {
    await expect(compareModels(linear(1), tinyDecoder(), { threads: 1 })).rejects.toMatchObject({ code: 'E_INPUT' });
  });
});

/** The figures again, from whole rows of logits and without the code under test. */
async function plainScores(content: string): Promise<{ count: number; perplexityA: number; perplexityB: number; kl: number; agreement: number; maxError: number }> {
  const tokens = [0, ...[...content].map((char) => char.charCodeAt(0) - 95)];
  const engine = ortEngine({ threads: 1 });
  await using a = await engine.load(tinyDecoder({ cache: false }));
  await using b = await engine.load(tinyDecoder({ cache: false, noise: 0.02 }));
  const sums = { count: 0, nllA: 0, nllB: 0, kl: 0, agreed: 0, maxError: 0 };
  for (let at = 0; at < tokens.length; at += 64) {
    const window = tokens.slice(at, at + 64);
    const [rowsA, rowsB] = [await rows(a, window), await rows(b, window)];
    for (let i = 0; i + 1 < window.length; i++) {
      const [p, q] = [logSoftmax(rowsA[i]!), logSoftmax(rowsB[i]!)];
      sums.count++;
      sums.nllA -= p[window[i + 1]!]!;
      sums.nllB -= q[window[i + 1]!]!;
      sums.kl += p.reduce((sum, value, v) => sum + Math.exp(value) * (value - q[v]!), 0);
      if (p.indexOf(Math.max(...p)) === q.indexOf(Math.max(...q))) sums.agreed++;
      sums.maxError = Math.max(sums.maxError, ...rowsA[i]!.map((value, v) => Math.abs(value - rowsB[i]![v]!)));
    }
  }
  const { count } = sums;
  return { count, perplexityA: Math.exp(sums.nllA / count), perplexityB: Math.exp(sums.nllB / count), kl: sums.kl / count, agreement: sums.agreed / count, maxError: sums.maxError };
}

async function rows(executor: Executor, window: readonly number[]): Promise<number[][]> {
  const row = (values: readonly number[]): DenseTensor => denseOf('int64', [1, values.length], values);
  const { logits } = await executor.run({ input_ids: row(window), attention_mask: row(window.map(() => 1)), position_ids: row([...window.keys()]) });
  const { data } = logits as DenseTensor;
  return window.map((_, i) => [...(data.slice(i * 32, i * 32 + 32) as Float32Array)]);
}

function logSoftmax(row: readonly number[]): number[] {
  const sum = Math.log(row.reduce((total, value) => total + Math.exp(value), 0));
  return row.map((value) => value - sum);
}
