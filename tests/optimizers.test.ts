/** Optimizers step by step against PyTorch's. */
import { readFileSync } from 'node:fs';
import { referenceEngine } from '@penjing/core/reference';
import { adamW, chain, clipByNorm, clipByValue, cosineDecay, linearDecay, lion, movingAverage, muon, newtonSchulz, type Optimizer, sgd } from '@penjing/distill';
import { describe, expect, test } from 'vitest';

type Step = Readonly<Record<string, readonly number[]>>;
const expected = JSON.parse(readFileSync(new URL('./fixtures/optimizers/expected.json', import.meta.url), 'utf8')) as Readonly<Record<string, readonly Step[]>>;

const cases: Readonly<Record<string, Optimizer>> = {
  sgd: sgd({ rate: 0.1 }),
  'sgd-momentum': sgd({ rate: 0.05, momentum: 0.9, weightDecay: 0.01 }),
  'sgd-nesterov': sgd({ rate: 0.05, momentum: 0.8, nesterov: true }),
  adam: adamW({ rate: 0.02 }),
  adamw: adamW({ rate: 0.02, betas: [0.8, 0.95], weightDecay: 0.1 }),
  'adamw-clip': chain(clipByNorm(0.5), adamW({ rate: 0.02, weightDecay: 0.01 })),
  'adamw-cosine': adamW({ rate: cosineDecay({ rate: 0.05, steps: 12 }) }),
};

const start = (): Map<string, Float32Array> => new Map([['a', 7], ['b', 5]].map(([name, size], t) => [name as string, Float32Array.from({ length: size as number }, (_, i) => Math.sin(i + t))]));
const gradientsAt = (weights: ReadonlyMap<string, Float32Array>, step: number): Map<string, Float32Array> =>
  new Map([...weights].map(([name, weight], t) => [name, weight.map((w, i) => Math.cos(i * (step + 1) + t) * w)]));

test('every recorded optimizer is tried', () => {
  expect(Object.keys(cases)).toEqual(Object.keys(expected));
});

test.each(Object.entries(cases))('%s', async (name, optimizer) => {
  const weights = start();
  const state = optimizer.init(weights);
  for (const [step, row] of expected[name]!.entries()) {
    await optimizer.update(weights, gradientsAt(weights, step), state, step);
    for (const [key, weight] of weights) row[key]!.forEach((value, i) => expect(Math.abs(weight[i]! - value)).toBeLessThan(1e-6));
  }
});

/** (rows, cols) by name, and weights after each step. */
const muonCases = JSON.parse(readFileSync(new URL('./fixtures/optimizers/muon.json', import.meta.url), 'utf8')) as { readonly shapes: Readonly<Record<string, readonly [number, number]>>; readonly steps: readonly Step[] };

test("muon as PyTorch's", async () => {
  const shapes = Object.entries(muonCases.shapes);
  const weights = new Map(shapes.map(([name, [rows, cols]], t) => [name, Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(i + t))]));
  await using orthogonalizer = newtonSchulz(referenceEngine());
  const optimizer = muon({ rate: 0.05, weightDecay: 0.1, momentum: 0.9, matrices: shapes.map(([name, [rows, cols]]) => ({ name, rows, cols, turned: false })), orthogonalizer });
  const state = optimizer.init(weights);
  for (const [step, row] of muonCases.steps.entries()) {
    await optimizer.update(weights, gradientsAt(weights, step), state, step);
    for (const [key, weight] of weights) row[key]!.forEach((value, i) => expect(Math.abs(weight[i]! - value)).toBeLessThan(5e-5));
  }
});

describe('beside PyTorch', () => {
  test('lion steps by the rate, in the direction of the remembered sign', async () => {
    const weights = new Map([['w', Float32Array.of(1, 1, 1)]]);
    const optimizer = lion({ rate: 0.25, weightDecay: 0.5 });
    const state = optimizer.init(weights);
    await optimizer.update(weights, new Map([['w', Float32Array.of(3, -0.1, 0)]]), state, 0);
    expect([...weights.get('w')!]).toEqual([0.625, 1.125, 0.875]);
    // 0.9 · 0.03 against 0.1 · −0.2: the memory wins.
    await optimizer.update(weights, new Map([['w', Float32Array.of(-0.2, 0, 0)]]), state, 1);
    expect(weights.get('w')![0]).toBeCloseTo(0.625 - 0.25 * (1 + 0.5 * 0.625), 6);
  });

  test('values are cut one by one', async () => {
    const gradients = new Map([['w', Float32Array.of(3, -0.5, -9)]]);
    await clipByValue(1).update(new Map(), gradients, new Map(), 0);
    expect([...gradients.get('w')!]).toEqual([1, -0.5, -1]);
  });

  test('gradients that are not finite stop the run', () => {
    expect(() => clipByNorm(1).update(new Map(), new Map([['w', Float32Array.of(1, NaN)]]), new Map(), 4)).toThrow(expect.objectContaining({ code: 'E_DIVERGED' }) as Error);
  });

  test('the moving average follows the weights and is part of the state', async () => {
    const weights = new Map([['w', Float32Array.of(1)]]);
    const optimizer = chain(sgd({ rate: 1 }), movingAverage(0.5));
    const state = optimizer.init(weights);
    await optimizer.update(weights, new Map([['w', Float32Array.of(2)]]), state, 0);
    expect([...state].map(([name, [value]]) => [name, value])).toEqual([['1/average/w', 0]]);
  });

  test('rates rise and fall', () => {
    const linear = linearDecay({ rate: 1, steps: 10, warmup: 2, end: 0.5 });
    expect([0, 1, 2, 6, 10, 99].map(linear)).toEqual([0.5, 1, 1, 0.75, 0.5, 0.5]);
  });

  test('weights without a gradient stay', async () => {
    const weights = start();
    const optimizer = adamW({ rate: 1, weightDecay: 1 });
    await optimizer.update(weights, new Map(), optimizer.init(weights), 0);
    expect(weights).toEqual(start());
  });
});
