/** Factorisation and projection on the reference engine, against their definitions and against every possible rounding. */
import { plainKernels, wasmKernels } from '@penjing/kernels';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRng } from '../rng.js';
import { referenceEngine } from '../reference/index.js';
import { cholesky } from './cholesky.js';
import { factorHessian } from './hessian.js';
import { matrixProducts } from './products.js';
import { projectMatrix } from './project-matrix.js';

const products = matrixProducts(referenceEngine());
const kernels = wasmKernels();
const tools = { products, kernels };

/** XᵀX of random activations (samples, size), correlated, one of them much larger than the others. */
function hessian(size: number, samples: number, seed: number): Float32Array {
  const rng = createRng(seed);
  const common = Float64Array.from({ length: samples }, () => 2 * rng.normal());
  const x = Float64Array.from({ length: samples * size }, (_, i) => (rng.normal() + common[Math.floor(i / size)]!) * (i % size === 1 ? 8 : 1));
  const h = new Float32Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      let sum = 0;
      for (let k = 0; k < samples; k++) sum += x[k * size + i]! * x[k * size + j]!;
      h[i * size + j] = sum;
    }
  }
  return h;
}

function quadratic(h: Float32Array, size: number, d: (row: number) => number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) sum += d(i) * h[i * size + j]! * d(j);
  return sum;
}

describe('cholesky', () => {
  test('factors in panels of any size, and leaves h alone when it is not positive definite', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 17 }), fc.nat(1000), async (size, panel, seed) => {
        const h = hessian(size, 3 * size, seed);
        const g = h.slice();
        expect(await cholesky({ data: g, rows: size, cols: size }, { ...tools, panel })).toBe(-1);
        for (let i = 0; i < size; i++) {
          for (let j = 0; j < size; j++) {
            let sum = 0;
            for (let k = 0; k < size; k++) sum += g[k * size + i]! * g[k * size + j]!;
            expect(Math.abs(sum - h[i * size + j]!)).toBeLessThan(1e-3 * h[0]! + 1e-2);
            if (j < i) expect(g[i * size + j]).toBe(0);
          }
        }
        const broken = h.slice();
        broken[(size - 1) * size + size - 1] = -1;
        const before = broken.slice();
        expect(await cholesky({ data: broken, rows: size, cols: size }, { ...tools, panel })).toBe(size - 1);
        expect(broken).toEqual(before);
      }),
      { numRuns: 30 },
    );
  });

  test('a Hessian of too few samples is damped until it can be factored; dead inputs are named', async () => {
    const size = 30;
    const h = hessian(size, 4, 3);
    for (let i = 0; i < size; i++) h[7 * size + i] = h[i * size + 7] = 0;
    const factor = await factorHessian(h, size, { ...tools, damping: 0 });
    expect(factor.damping).toBeGreaterThan(0);
    expect(factor.damping).toBeLessThanOrEqual(0.01);
    expect(factor.dead).toEqual([7]);
    expect(factor.lower.every(Number.isFinite)).toBe(true);
    expect((await factorHessian(new Float32Array(9), 3, tools)).lower.every(Number.isFinite)).toBe(true);
    await expect(factorHessian(Float32Array.of(1, NaN, NaN, 1), 2, tools)).rejects.toThrow(/not finite in row/);
    await expect(factorHessian(Float32Array.of(NaN), 1, tools)).rejects.toThrow(/not finite in row 0/);
  });
});

describe('projectMatrix', () => {
  /** 2 bits, one scale per column. */
  const grid = (cols: number) => ({ scales: new Float32Array(cols).fill(0.5), zeroPoints: new Float32Array(cols).fill(2), highest: 3 });
  const value = (code: number): number => (code - 2) * 0.5;

  test('reports the objective that its result has, whatever the panels', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 5 }), fc.constantFrom(1, 7, 32, 256), fc.nat(1000), async (size, cols, group, seed) => {
        const h = new Float32Array(size * size);
        const rng = createRng(seed);
        // a band is enough to couple rows, and cheap
        for (let i = 0; i < size; i++) for (let j = i; j < Math.min(size, i + 4); j++) h[i * size + j] = h[j * size + i] = i === j ? 6 + Math.abs(rng.normal()) : rng.normal() / 2;
        const kept = h.slice();
        const factor = await factorHessian(h, size, { ...tools, damping: 0 });
        const weights = Float32Array.from({ length: size * cols }, () => rng.normal() / 2);
        const result = await projectMatrix({ ...tools, factor, weights, cols, group, constrain: () => ({ grid: grid(cols) }) });
        let wanted = 0;
        for (let c = 0; c < cols; c++) wanted += quadratic(kept, size, (i) => weights[i * cols + c]! - result.values[i * cols + c]!) / 2;
        expect(Math.abs(result.objective - wanted)).toBeLessThan(1e-3 * Math.max(1, wanted));
        for (let i = 0; i < result.values.length; i++) expect(result.values[i]).toBe(value(result.codes[i]!));
      }),
      { numRuns: 40 },
    );
  });

  test('is never below the best of all roundings, and better than the nearest one', async () => {
    const size = 5;
    let better = 0;
    let equal = 0;
    let ratio = 0;
    const cases = 300;
    for (let seed = 0; seed < cases; seed++) {
      const h = hessian(size, 8, seed);
      const kept = h.slice();
      const factor = await factorHessian(h, size, { products, kernels: plainKernels({ arenaBytes: 0 }), damping: 0 });
      const rng = createRng(seed + 1);
      const weights = Float32Array.from({ length: size }, () => rng.normal() / 2);
      const cost = (values: (row: number) => number): number => quadratic(kept, size, (i) => weights[i]! - values(i)) / 2;
      const { values } = await projectMatrix({ ...tools, factor, weights, cols: 1, group: size, constrain: () => ({ grid: grid(1) }) });
      const reached = cost((i) => values[i]!);
      const nearest = cost((i) => value(Math.min(3, Math.max(0, Math.round(weights[i]! / 0.5) + 2))));
      let optimum = Infinity;
      for (let all = 0; all < 4 ** size; all++) optimum = Math.min(optimum, cost((i) => value((all >> (2 * i)) & 3)));
      expect(reached).toBeGreaterThanOrEqual(optimum * (1 - 1e-4));
      if (reached < nearest * 0.9999) better++;
      else if (reached <= nearest * 1.0001) equal++;
      ratio += reached / optimum / cases;
    }
    expect((better + equal) / cases).toBeGreaterThan(0.9);
    expect(ratio).toBeLessThan(2);
  });

  test('prunes by a mask and lets the other weights make up for it', async () => {
    const size = 64;
    const h = hessian(size, 200, 5);
    const kept = h.slice();
    const factor = await factorHessian(h, size, tools);
    const rng = createRng(2);
    const cols = 8;
    const weights = Float32Array.from({ length: size * cols }, () => rng.normal());
    const keep = Uint8Array.from({ length: size * cols }, (_, i) => Math.floor(i / cols) % 2);
    const { values, codes } = await projectMatrix({ ...tools, factor, weights, cols, group: 16, constrain: ({ start, end }) => ({ keep: keep.subarray(start * cols, end * cols) }) });
    expect(codes.length).toBe(0);
    let pruned = 0;
    let plain = 0;
    for (let c = 0; c < cols; c++) {
      pruned += quadratic(kept, size, (i) => weights[i * cols + c]! - values[i * cols + c]!);
      plain += quadratic(kept, size, (i) => (keep[i * cols + c] === 0 ? weights[i * cols + c]! : 0));
    }
    for (let i = 0; i < values.length; i++) if (keep[i] === 0) expect(values[i]).toBe(0);
    expect(pruned).toBeLessThan(0.5 * plain);
  });
});
