/** Wanda and SparseGPT of one layer, against every possible mask and against magnitude. */
import { createRng, denseOf, type DenseTensor, inlineJobs } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { dropPattern, dropSmallest } from './masks.js';
import { type ActivationMetric, pruneJob } from './prune-job.js';
import { type Sparsity, sparsityOf } from './sparsity.js';

const jobs = inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() });

/** All of them in the full run: `bench/RESULTS.md` has what came out. */
const CASES = (globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env['PENJING_FULL'] ? 1000 : 60;

/** XᵀX of correlated activations, one of them much larger than the others; row-major (size, size). */
function hessian(size: number, samples: number, seed: number): Float32Array {
  const rng = createRng(seed);
  const x = Array.from({ length: samples }, () => {
    const common = 2 * rng.normal();
    return Array.from({ length: size }, (_, i) => (rng.normal() + common) * (i % size === 1 ? 8 : 1));
  });
  return Float32Array.from({ length: size * size }, (_, at) => x.reduce((sum, row) => sum + row[Math.floor(at / size)]! * row[at % size]!, 0));
}

function quadratic(h: Float32Array, d: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < d.length; i++) for (let j = 0; j < d.length; j++) sum += d[i]! * h[i * d.length + j]! * d[j]!;
  return sum / 2;
}

/** The least objective with zeros where the mask has them: the kept differences solve H_KK d_K = −H_KP d_P. */
function bestWithMask(h: Float32Array, weights: readonly number[], keep: readonly boolean[]): number {
  const size = weights.length;
  const free = keep.flatMap((kept, i) => (kept ? [i] : []));
  const gone = keep.flatMap((kept, i) => (kept ? [] : [i]));
  const rows = free.map((i) => [...free.map((j) => h[i * size + j]!), -gone.reduce((sum, j) => sum + h[i * size + j]! * weights[j]!, 0)]);
  for (let p = 0; p < rows.length; p++) {
    const pivot = rows[p]![p]!;
    for (let r = 0; r < rows.length; r++) {
      if (r === p) continue;
      const factor = rows[r]![p]! / pivot;
      for (let c = p; c <= rows.length; c++) rows[r]![c]! -= factor * rows[p]![c]!;
    }
  }
  const d = [...weights];
  free.forEach((i, at) => (d[i] = rows[at]![rows.length]! / rows[at]![at]!));
  return quadratic(h, d);
}

function masks(size: number, sparsity: Sparsity): boolean[][] {
  const all = Array.from({ length: 2 ** size }, (_, bits) => Array.from({ length: size }, (_, i) => ((bits >> i) & 1) === 1));
  return all.filter((keep) => {
    const kept = (part: readonly boolean[]): number => part.filter(Boolean).length;
    if (sparsity.kind === 'share') return size - kept(keep) === Math.round(sparsity.share * size);
    return Array.from({ length: Math.ceil(size / sparsity.of) }, (_, g) => keep.slice(g * sparsity.of, (g + 1) * sparsity.of)).every((part) => kept(part) === Math.min(part.length, sparsity.keep));
  });
}

async function pruned(metric: ActivationMetric, weights: readonly number[], size: number, sparsity: Sparsity) {
  const matrix = await jobs.refer(denseOf('float32', [weights.length / size, size], weights));
  const output = await jobs.run(pruneJob, { metric, size, sparsity, matrices: [matrix] });
  const [result] = output.matrices;
  if (typeof result !== 'object') throw new Error(result);
  const values = [...((await jobs.tensor(result.weights)) as DenseTensor).data] as number[];
  return { ...output, ...result, values };
}

describe('SparseGPT', () => {
  test.each([['50 %', { sparsity: 0.5 }, 6], ['50 %', { sparsity: 0.5 }, 8], ['1:2', { pattern: '1:2' }, 6], ['1:2', { pattern: '1:2' }, 8], ['2:4', { pattern: '2:4' }, 8], ['2:4', { pattern: '2:4' }, 12], ['50 %', { sparsity: 0.5 }, 11]] as const)('%s of %j weights of %i: never below the best of all masks, at least as good as magnitude', async (_, options, size) => {
    const sparsity = sparsityOf(options);
    const cases = size > 8 ? 40 : CASES;
    let atLeast = 0;
    let ratio = 0;
    for (let seed = 0; seed < cases; seed++) {
      const h = hessian(size, 3 * size, seed);
      const rng = createRng(seed + 10_000);
      const weights = Array.from(Float32Array.from({ length: size }, () => rng.normal()));
      const { values, objective } = await pruned({ kind: 'hessian', sums: h.slice(), damping: 0 }, weights, size, sparsity);
      const cost = (of: readonly number[]): number => quadratic(h, weights.map((weight, i) => weight - of[i]!));
      const reached = cost(values);
      expect(Math.abs(reached - objective)).toBeLessThan(1e-3 * Math.max(1, reached));
      const possible = masks(size, sparsity);
      expect(possible.some((keep) => keep.every((kept, i) => kept || values[i] === 0))).toBe(true);
      const optimum = Math.min(...possible.map((keep) => bestWithMask(h, weights, keep)));
      expect(reached).toBeGreaterThanOrEqual(optimum * (1 - 1e-3) - 1e-4);
      const scores = Float32Array.from(weights, Math.abs);
      const keep = new Uint8Array(size);
      if (sparsity.kind === 'share') dropSmallest(scores, Math.round(sparsity.share * size), keep);
      else dropPattern(scores, size, 1, sparsity, keep);
      if (reached <= cost(weights.map((weight, i) => (keep[i] === 0 ? 0 : weight))) * (1 + 1e-4)) atLeast++;
      ratio += reached / optimum / cases;
    }
    console.log(`${JSON.stringify(options)} of ${size}: at least as good as magnitude in ${((100 * atLeast) / cases).toFixed(1)} %, ${ratio.toFixed(3)} × the optimum on average`);
    expect(atLeast / cases).toBeGreaterThanOrEqual(0.95);
  });

  test('of a layer without activity, without numbers, of one weight', async () => {
    const size = 8;
    const idle = await pruned({ kind: 'hessian', sums: new Float32Array(size * size) }, [1, 2, 3, 4, 5, 6, 7, 8], size, sparsityOf({ sparsity: 0.5 }));
    expect(idle.values).toEqual([0, 0, 0, 0, 5, 6, 7, 8]);
    expect(idle.dead).toBe(size);
    const broken = await pruned({ kind: 'hessian', sums: hessian(size, 30, 1) }, [1, NaN, 3, Infinity, 5, 6, 7, 8], size, sparsityOf({ pattern: '2:4' }));
    expect(broken.values.every(Number.isFinite)).toBe(true);
    expect(broken.nonFinite).toBe(2);
    await expect(pruned({ kind: 'hessian', sums: new Float32Array(size * size).fill(NaN) }, [1, 2, 3, 4, 5, 6, 7, 8], size, sparsityOf({ sparsity: 0.5 }))).rejects.toThrow(/not finite/);
    expect((await pruned({ kind: 'hessian', sums: Float32Array.of(2) }, [3], 1, sparsityOf({ sparsity: 0.4 }))).values).toEqual([3]);
    const constant = await pruned({ kind: 'hessian', sums: new Float32Array(16).fill(1) }, [1, 1, 1, 1], 4, sparsityOf({ sparsity: 0.5 }));
    expect(constant.sparsity).toBe(0.5);
    expect(constant.values.reduce((a, b) => a + b, 0)).toBeCloseTo(4, 0);
  });

  test('takes large layers block by block, equal to one group at a time', async () => {
    const [size, outputs] = [300, 5];
    const rng = createRng(7);
    const weights = Array.from({ length: size * outputs }, () => rng.normal());
    const h = new Float32Array(size * size);
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) h[i * size + j] = Math.exp(-Math.abs(i - j) / 3) * (1 + (i % 7)) * (1 + (j % 7));
    const half = await pruned({ kind: 'hessian', sums: h.slice() }, weights, size, sparsityOf({ sparsity: 0.5 }));
    expect(half.sparsity).toBeCloseTo(0.5, 3);
    const pattern = await pruned({ kind: 'hessian', sums: h.slice() }, weights, size, sparsityOf({ pattern: '4:8' }));
    for (let o = 0; o < outputs; o++) for (let k = 0; k + 8 <= size; k += 8) expect(pattern.values.slice(o * size + k, o * size + k + 8).filter((value) => value === 0)).toHaveLength(4);
    const plain = await pruned({ kind: 'diagonal', squares: Float64Array.from({ length: size }, (_, i) => h[i * size + i]!) }, weights, size, sparsityOf({ pattern: '4:8' }));
    const cost = (values: readonly number[]): number => Array.from({ length: outputs }, (_, o) => quadratic(h, weights.slice(o * size, (o + 1) * size).map((weight, i) => weight - values[o * size + i]!))).reduce((a, b) => a + b, 0);
    expect(cost(pattern.values)).toBeLessThan(cost(plain.values));
  });
});

describe('Wanda', () => {
  test('takes the least of |w| · ‖x‖ within each output, and leaves the others as they are', async () => {
    const squares = Float64Array.of(1, 100, 4, 0);
    const { values, objective, dead, snrDb } = await pruned({ kind: 'diagonal', squares }, [3, 0.5, 1, 9, -1, 2, 3, 0], 4, sparsityOf({ sparsity: 0.5 }));
    // scores 3 5 2 0 and 1 20 6 0
    expect(values).toEqual([3, 0.5, 0, 0, 0, 2, 3, 0]);
    expect(objective).toBe((4 * 1 + 0 + 1 * 1) / 2);
    expect(dead).toBe(1);
    expect(snrDb).toBeGreaterThan(0);
    const { values: pattern } = await pruned({ kind: 'diagonal', squares }, [3, 0.5, 1, 9, -1, 2, 3, 0], 4, sparsityOf({ pattern: '1:2' }));
    expect(pattern).toEqual([0, 0.5, 1, 0, 0, 2, 3, 0]);
  });
});
