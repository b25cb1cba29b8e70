/** Muon against the same in float64, and on what has no direction. */
import { createRng } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import { type MatrixForm, muon } from './muon.js';
import { newtonSchulz } from './newton-schulz.js';

type Rows = number[][];
const product = (a: Rows, b: Rows): Rows => a.map((row) => b[0]!.map((_, j) => row.reduce((sum, x, k) => sum + x * b[k]![j]!, 0)));
const turned = (a: Rows): Rows => a[0]!.map((_, j) => a.map((row) => row[j]!));
const norm = (a: Rows): number => Math.sqrt(a.flat().reduce((sum, x) => sum + x * x, 0));
const scaled = (a: Rows, factor: number): Rows => a.map((row) => row.map((x) => x * factor));

/** As the post spells it: X ← a X + (b A + c A²) X with A = X Xᵀ, of the transpose of a tall matrix. */
function orthogonal(g: Rows): Rows {
  if (g.length > g[0]!.length) return turned(orthogonal(turned(g)));
  let x = scaled(g, 1 / Math.max(1e-7, norm(g)));
  for (let i = 0; i < 5; i++) {
    const a = product(x, turned(x));
    const aa = product(a, a);
    const ax = product(a.map((row, r) => row.map((value, c) => -4.775 * value + 2.0315 * aa[r]![c]!)), x);
    x = x.map((row, r) => row.map((value, c) => 3.4445 * value + ax[r]![c]!));
  }
  return x;
}

const rowsOf = (data: ArrayLike<number>, rows: number, cols: number): Rows => Array.from({ length: rows }, (_, r) => Array.from({ length: cols }, (_, c) => data[r * cols + c]!));
const random = (length: number, seed: number): Float32Array => {
  const rng = createRng(seed);
  return Float32Array.from({ length }, () => rng.normal());
};

const shapes: readonly (readonly [rows: number, cols: number])[] = [[1, 1], [1, 7], [7, 1], [5, 5], [4, 6], [6, 4], [3, 8], [8, 3], [12, 30]];

describe('newtonSchulz', () => {
  test.each(shapes)('%i × %i as in float64, each matrix of a stack for itself', async (rows, cols) => {
    await using factors = newtonSchulz(referenceEngine());
    const given = [1, 2, 3].map((seed) => random(rows * cols, seed)).map((data) => data.map((x) => x / Math.hypot(...data)));
    const stack = await factors.orthogonalize({ data: Float32Array.from(given.flatMap((data) => [...data])), count: 3, rows, cols });
    given.forEach((data, i) => {
      const wanted = orthogonal(rowsOf(data, rows, cols)).flat();
      wanted.forEach((value, at) => expect(Math.abs(stack[i * rows * cols + at]! - value)).toBeLessThan(2e-5));
    });
  });

  test.each([[6, 20], [6, 6], [20, 6]])('%i × %i of rank 2: small singular values keep their digits, and what is 0 stays 0', async (rows, cols) => {
    await using factors = newtonSchulz(referenceEngine());
    const [u, v] = [rowsOf(random(rows * 2, 4), rows, 2), rowsOf(random(2 * cols, 5), 2, cols)];
    const low = product(u.map(([a, b]) => [a!, 1e-4 * b!]), v);
    const data = Float32Array.from(scaled(low, 1 / norm(low)).flat());
    const got = await factors.orthogonalize({ data, count: 1, rows, cols });
    const wanted = orthogonal(rowsOf(data, rows, cols)).flat();
    wanted.forEach((value, at) => expect(Math.abs(got[at]! - value)).toBeLessThan(2e-3));
    expect([...(await factors.orthogonalize({ data: new Float32Array(rows * cols), count: 1, rows, cols }))].every((value) => value === 0)).toBe(true);
  });
});

describe('muon', () => {
  const matrices: readonly MatrixForm[] = [
    { name: 'a', rows: 4, cols: 6, turned: false }, { name: 'b', rows: 6, cols: 4, turned: false }, { name: 'c', rows: 4, cols: 6, turned: true }, { name: 'd', rows: 1, cols: 5, turned: false },
  ];
  const start = (): Map<string, Float32Array> => new Map(matrices.map(({ name, rows, cols }, i) => [name, random(rows * cols, i + 1)]));

  test('steps as the same in float64', async () => {
    await using orthogonalizer = newtonSchulz(referenceEngine());
    const optimizer = muon({ rate: (step) => 0.1 / (step + 1), weightDecay: 0.5, momentum: 0.9, matrices, orthogonalizer });
    const weights = start();
    const state = optimizer.init(weights);
    const wide = new Map(matrices.map(({ name, rows, cols }) => [name, { w: rowsOf(weights.get(name)!, rows, cols), v: rowsOf(new Float32Array(rows * cols), rows, cols) }]));
    for (let step = 0; step < 5; step++) {
      const gradients = new Map(matrices.map(({ name, rows, cols }, i) => [name, random(rows * cols, 100 * step + i)]));
      await optimizer.update(weights, gradients, state, step);
      for (const { name, rows, cols, turned: isTurned } of matrices) {
        const known = wide.get(name)!;
        const g = rowsOf(gradients.get(name)!, rows, cols);
        known.v = known.v.map((row, r) => row.map((v, c) => 0.9 * v + g[r]![c]!));
        const u = orthogonal(g.map((row, r) => row.map((x, c) => x + 0.9 * known.v[r]![c]!)));
        const rate = 0.1 / (step + 1);
        const length = rate * Math.sqrt(Math.max(1, isTurned ? cols / rows : rows / cols));
        known.w = known.w.map((row, r) => row.map((w, c) => (1 - rate * 0.5) * w - length * u[r]![c]!));
        known.w.flat().forEach((value, at) => expect(Math.abs(weights.get(name)![at]! - value)).toBeLessThan(2e-5));
      }
    }
  });

  test('a gradient of zeros only lets the weights decay, and weights without one stay', async () => {
    await using orthogonalizer = newtonSchulz(referenceEngine());
    const optimizer = muon({ rate: 0.1, weightDecay: 0.5, matrices, orthogonalizer });
    const weights = start();
    const before = start();
    await optimizer.update(weights, new Map([['a', new Float32Array(24)]]), optimizer.init(weights), 0);
    weights.get('a')!.forEach((value, i) => expect(value).toBeCloseTo(0.95 * before.get('a')![i]!, 6));
    for (const name of ['b', 'c', 'd']) expect(weights.get(name)).toEqual(before.get(name));
  });

  test('keeps one momentum for each of its matrices and leaves other weights alone', async () => {
    await using orthogonalizer = newtonSchulz(referenceEngine());
    const optimizer = muon({ rate: 0.1, matrices: matrices.slice(0, 2), orthogonalizer });
    const weights = start();
    const state = optimizer.init(weights);
    expect([...state].map(([name, { length }]) => [name, length])).toEqual([['momentum/a', 24], ['momentum/b', 24]]);
    await optimizer.update(weights, start(), state, 0);
    for (const name of ['c', 'd']) expect(weights.get(name)).toEqual(start().get(name));
  });
});
