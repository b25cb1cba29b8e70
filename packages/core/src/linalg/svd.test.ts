/** Eigenvalues, singular values and vectors on the reference engine: against their definitions, and against numpy. */
import recordedValues from '../../../../tests/fixtures/linalg/singular-values.json' with { type: 'json' };
import { wasmKernels } from '@penjing/kernels';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { referenceEngine } from '../reference/index.js';
import { createRng } from '../rng.js';
import { matrixProducts } from './products.js';
import { orthonormalizeRows } from './orthonormalize.js';
import { svd, type SvdOptions } from './svd.js';
import { symmetricEigen } from './symmetric-eigen.js';
import { tridiagonalEigen } from './tridiagonal-eigen.js';

const products = matrixProducts(referenceEngine());
const kernels = wasmKernels();
const tools = { products, kernels };

interface Recorded {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly values: readonly number[];
}

const recorded: readonly Recorded[] = recordedValues;

/** The matrices of peers/fixtures/linalg.py, by the same formulas. */
const formulas: Readonly<Record<string, (i: number, j: number) => number>> = {
  hilbert: (i, j) => 1 / (i + j + 1),
  waves: (i, j) => Math.sin(i * 1.7 + j * j * 0.3) + 0.1 * Math.cos(3 * i * j),
  graded: (i, j) => Math.sin(1 + i * 2.3 + j * 1.1) * 10 ** (-j / 4),
  blocks: (i, j) => (Math.floor(i / 10) === Math.floor(j / 10) ? 2 : 0) + (i === j ? 1 : 0),
  rankOne: (i, j) => (i + 1) * (j - 20),
};

function matrixOf(rows: number, cols: number, entry: (i: number, j: number) => number): { data: Float32Array; rows: number; cols: number } {
  return { data: Float32Array.from({ length: rows * cols }, (_, k) => entry(Math.floor(k / cols), k % cols)), rows, cols };
}

/** Largest |rows · rowsᵀ − 1|. */
function orthogonality(rows: Float32Array | Float64Array, count: number): number {
  const size = rows.length / count;
  let worst = 0;
  for (let i = 0; i < count; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += rows[i * size + k]! * rows[j * size + k]!;
      worst = Math.max(worst, Math.abs(sum - (i === j ? 1 : 0)));
    }
  }
  return worst;
}

/** ‖a − leftᵀ diag right‖ / ‖a‖. */
function residual({ data, rows, cols }: { data: Float32Array; rows: number; cols: number }, { left, right, values }: Awaited<ReturnType<typeof svd>>): number {
  let lost = 0;
  let all = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) {
      let sum = 0;
      for (let r = 0; r < values.length; r++) sum += values[r]! * left[r * rows + i]! * right[r * cols + j]!;
      lost += (data[i * cols + j]! - sum) ** 2;
      all += data[i * cols + j]! ** 2;
    }
  }
  return all === 0 ? Math.sqrt(lost) : Math.sqrt(lost / all);
}

describe('symmetricEigen', () => {
  test('solves a = zᵀ diag z to float64, whatever the spectrum', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 90 }), fc.constantFrom('random', 'clustered', 'graded', 'zero', 'diagonal'), fc.nat(1000), async (size, kind, seed) => {
        const rng = createRng(seed);
        const a = new Float64Array(size * size);
        const rank = kind === 'clustered' ? Math.ceil(size / 3) : size;
        if (kind === 'diagonal') for (let i = 0; i < size; i++) a[i * size + i] = Math.round(4 * rng.normal());
        else if (kind !== 'zero') {
          for (let k = 0; k < rank; k++) {
            const x = Float64Array.from({ length: size }, () => rng.normal());
            const weight = kind === 'graded' ? 10 ** -k : k % 2 === 0 ? 1 : -1;
            for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) a[i * size + j]! += weight * x[i]! * x[j]!;
          }
        }
        const { values, vectors } = await symmetricEigen(a.slice(), size, { products });
        expect(orthogonality(vectors, size)).toBeLessThan(1e-12);
        const scale = Math.max(Math.abs(values[0]!), Math.abs(values.at(-1)!), 1e-300);
        for (let i = 0; i < size; i++) {
          if (i > 0) expect(values[i]!).toBeLessThanOrEqual(values[i - 1]!);
          for (let j = 0; j < size; j++) {
            let sum = 0;
            for (let k = 0; k < size; k++) sum += a[j * size + k]! * vectors[i * size + k]!;
            expect(Math.abs(sum - values[i]! * vectors[i * size + j]!)).toBeLessThan(1e-12 * scale);
          }
        }
        const only = await symmetricEigen(a.slice(), size, { products, vectors: 0 });
        only.values.forEach((value, i) => expect(Math.abs(value - values[i]!)).toBeLessThan(1e-12 * scale));
      }),
      { numRuns: 40 },
    );
  });

  test('merges what lies close together: Wilkinson’s matrix, glued', async () => {
    const size = 21 * 5;
    const diagonal = Float64Array.from({ length: size }, (_, i) => Math.abs((i % 21) - 10));
    const off = Float64Array.from({ length: size - 1 }, (_, i) => (i % 21 === 20 ? 1e-9 : 1));
    const { values, vectors } = await tridiagonalEigen(diagonal, off, products);
    expect(orthogonality(vectors, size)).toBeLessThan(1e-13);
    // the largest eigenvalue of W21+, five times over
    for (let i = 0; i < 5; i++) expect(values[size - 1 - i]).toBeCloseTo(10.746194182903393, 7);
  });

  test('names what is not finite', async () => {
    await expect(symmetricEigen(Float64Array.of(1, 0, NaN, 1), 2, { products })).rejects.toThrow(/row 1 .* is not finite/);
    await expect(svd(matrixOf(2, 2, () => Infinity), tools)).rejects.toThrow(/not finite/);
    await expect(orthonormalizeRows(matrixOf(2, 2, () => NaN), { ...tools, rng: createRng(1) })).rejects.toThrow(/not finite/);
  });
});

describe('svd', () => {
  test.each(recorded)('has the singular values of numpy: $name', async ({ name, rows, cols, values: wanted }) => {
    const a = matrixOf(rows, cols, formulas[name]!);
    const result = await svd(a, tools);
    result.values.forEach((value, i) => expect(Math.abs(value - wanted[i]!)).toBeLessThan(4e-7 * wanted[0]!));
    expect(orthogonality(result.left, wanted.length)).toBeLessThan(1e-5);
    expect(orthogonality(result.right, wanted.length)).toBeLessThan(1e-5);
    expect(residual(a, result)).toBeLessThan(2e-6);
  });

  test('is orthogonal and gives the matrix back, also without full rank', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 40 }), fc.nat(1000), async (rows, cols, rank, seed) => {
        const rng = createRng(seed);
        const left = Float64Array.from({ length: rows * rank }, () => rng.normal());
        const right = Float64Array.from({ length: cols * rank }, () => rng.normal());
        const a = matrixOf(rows, cols, (i, j) => {
          let sum = 0;
          for (let k = 0; k < rank; k++) sum += left[i * rank + k]! * right[j * rank + k]! * 0.7 ** k;
          return sum;
        });
        const whole = Math.min(rows, cols);
        const result = await svd(a, { ...tools, seed });
        expect(result.values).toHaveLength(whole);
        expect(orthogonality(result.left, whole)).toBeLessThan(2e-5);
        expect(orthogonality(result.right, whole)).toBeLessThan(2e-5);
        expect(residual(a, result)).toBeLessThan(4e-6);
        for (let i = rank; i < whole; i++) expect(result.values[i]!).toBeLessThanOrEqual(1e-5 * (result.values[0]! + 1e-30));
      }),
      { numRuns: 60 },
    );
  });

  test('finds the leading space by search as well as by the whole', async () => {
    const rng = createRng(5);
    const a = matrixOf(70, 120, () => rng.normal());
    const options: SvdOptions = { ...tools, rank: 12 };
    for (const matrix of [a, { ...matrixOf(120, 70, (i, j) => a.data[j * 120 + i]!) }]) {
      const exact = await svd(matrix, { ...options, method: 'gram' });
      const found = await svd(matrix, { ...options, method: 'subspace' });
      const left = (values: Float64Array): number => found.energy - values.reduce((sum, value) => sum + value * value, 0);
      // a flat spectrum is the hardest: what is left over is what counts
      expect(left(found.values) / left(exact.values)).toBeLessThan(1.002);
      expect(left(found.values) / left(exact.values)).toBeGreaterThan(1 - 1e-6);
      expect(orthogonality(found.left, 12)).toBeLessThan(1e-5);
      expect(orthogonality(found.right, 12)).toBeLessThan(1e-5);
    }
    const none = await svd(a, { ...tools, rank: 0 });
    expect(none.left).toHaveLength(0);
    expect(none.energy).toBeCloseTo(a.data.reduce((sum, value) => sum + value * value, 0), 0);
  });
});
