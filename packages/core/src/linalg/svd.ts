/** Singular values and vectors of a matrix, whole or of the leading rank, with an engine as BLAS. */
import { PenjingError } from '../errors.js';
import { createRng } from '../rng.js';
import type { CholeskyOptions } from './cholesky.js';
import { orthonormalizeRows } from './orthonormalize.js';
import type { Matrix, Operand } from './products.js';
import { symmetricEigen } from './symmetric-eigen.js';

export interface SvdOptions extends CholeskyOptions {
  /** How many singular values; min(rows, cols) when absent. */
  readonly rank?: number;
  /** Of the directions that the search starts from. */
  readonly seed?: number;
  /** `subspace` searches for the leading directions, `gram` computes all; chosen by the share of the rank when absent. */
  readonly method?: 'gram' | 'subspace';
}

export interface Svd {
  /** Descending, (rank). */
  readonly values: Float64Array;
  /** Row i is left singular vector i; (rank, rows). */
  readonly left: Float32Array;
  /** Row i is right singular vector i; (rank, cols). */
  readonly right: Float32Array;
  /** Σ of all squared singular values, not only of the leading ones. */
  readonly energy: number;
}

/** A singular value below this share of the largest one is float32 noise: its long vector is made, not computed. */
const NOISE = 1e-6;
/** The search ends when a step finds less than this share of what is left. */
const ENOUGH = 2e-3;
const MOST_STEPS = 16;
/** How orthonormal directions must be while they are searched for. */
const SEARCHING = 1e-4;

/**
 * a ≈ leftᵀ · diag(values) · right. Gram matrices are made and solved in float64, so what is lost is of the order of float32's rounding
 * of the largest singular value, as with any method on float32. For less than about half of the rank, the leading space is found by
 * subspace iteration and solved by Rayleigh and Ritz (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1).
 * Throws `E_DATA` for values that are not finite.
 */
export async function svd(a: Matrix, options: SvdOptions): Promise<Svd> {
  const { products, seed = 0 } = options;
  const { rows, cols, data } = a;
  const whole = Math.min(rows, cols);
  const rank = Math.min(options.rank ?? whole, whole);
  const energy = squares(data.subarray(0, rows * cols));
  if (!Number.isFinite(energy)) throw new PenjingError('E_DATA', `a matrix (${rows} × ${cols}) holds values that are not finite`);
  if (rank === 0) return { values: new Float64Array(0), left: new Float32Array(0), right: new Float32Array(0), energy };
  // the short side is searched: its vectors are the smaller ones
  const wide: Operand = rows <= cols ? a : { ...a, transposed: true };
  const long = Math.max(rows, cols);
  const rng = createRng(seed);
  const tools = { ...options, rng };
  const size = Math.min(whole, rank + Math.max(16, Math.ceil(rank / 8)));
  const search = options.method ?? (size > 0.6 * whole || whole <= 256 ? 'gram' : 'subspace');
  const basis = search === 'subspace' ? await leadingSpace(wide, whole, size, energy, tools) : undefined;
  const inner = basis ? { data: await products.multiply(basis, wide), rows: size, cols: long } : wide;
  const gram = await products.multiplyWide(inner, { ...inner, transposed: !inner.transposed });
  const { vectors } = await symmetricEigen(gram, basis ? size : whole, { ...options, vectors: rank });

  const turn = { data: vectors, rows: rank, cols: basis ? size : whole };
  const shortSide = basis ? Float32Array.from(await products.multiplyWide(turn, basis)) : Float32Array.from(vectors);
  const longSide = await products.multiplyWide(turn, inner);
  const values = new Float64Array(rank);
  for (let i = 0; i < rank; i++) values[i] = Math.sqrt(squares(longSide.subarray(i * long, (i + 1) * long)));
  const longRows = { data: new Float32Array(rank * long), rows: rank, cols: long };
  for (let i = 0; i < rank; i++) {
    // 0 where there is nothing but noise: a direction of its own is found for it
    const scale = values[i]! > NOISE * values[0]! ? 1 / values[i]! : 0;
    for (let j = i * long; j < (i + 1) * long; j++) longRows.data[j] = longSide[j]! * scale;
  }
  if (values.some((value) => value <= NOISE * values[0]!)) await orthonormalizeRows(longRows, tools);
  return { values, left: rows <= cols ? shortSide : longRows.data, right: rows <= cols ? longRows.data : shortSide, energy };
}

/** Orthonormal rows (size, whole) that span nearly what the leading left singular vectors of a (whole, long) span. */
async function leadingSpace(a: Operand, whole: number, size: number, energy: number, tools: SvdOptions & { readonly rng: ReturnType<typeof createRng> }): Promise<Matrix> {
  const { products, rng, signal, onProgress } = tools;
  const long = Math.max(a.rows, a.cols);
  let basis: Matrix = { data: Float32Array.from({ length: size * whole }, () => rng.normal()), rows: size, cols: whole };
  await orthonormalizeRows(basis, tools);
  let found = 0;
  for (let step = 0; step < MOST_STEPS; step++) {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'svd', done: step, total: MOST_STEPS, unit: 'steps' });
    const image = { data: await products.multiply(basis, a), rows: size, cols: long };
    const now = squares(image.data);
    if (now - found <= ENOUGH * Math.max(energy - now, 1e-7 * energy)) break;
    found = now;
    basis = { data: await products.multiply(image, { ...a, transposed: !a.transposed }), rows: size, cols: whole };
    await orthonormalizeRows(basis, { ...tools, tolerance: SEARCHING });
  }
  await orthonormalizeRows(basis, tools);
  return basis;
}

function squares(values: Float32Array | Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return sum;
}
