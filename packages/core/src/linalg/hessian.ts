/** The metric of GPTQ and SparseGPT, factored: H = AᵀA with A lower triangular. */
import { PenjingError } from '../errors.js';
import { cholesky, type CholeskyOptions } from './cholesky.js';

export interface FactorOptions extends CholeskyOptions {
  /** Share of the mean of the diagonal that is added to it; 0.01 when absent, as in GPTQ. */
  readonly damping?: number;
}

/** A in (w − q)ᵀ H (w − q) = ‖A (w − q)‖². */
export interface HessianFactor {
  /** (size, size), row-major, zero above the diagonal. */
  readonly lower: Float32Array;
  readonly size: number;
  /** What was added to the diagonal, as a share of its mean: more than asked for when H was too close to singular. */
  readonly damping: number;
  /** Inputs that were never active: their weights do not matter in this metric. */
  readonly dead: readonly number[];
}

/** Damping is raised tenfold at a time up to this: beyond, hardly anything is left of H. */
const MOST_DAMPING = 10;

/**
 * Factors H = XᵀX (size, size), which is overwritten. A is found from the Cholesky factor of H with rows and columns reversed:
 * no inverse is needed, unlike in the papers (Frantar et al. 2022, algorithm 1), because rounding row by row with A is the same
 * algorithm (Chen et al. 2025, "The Geometry of LLM Quantization: GPTQ as Babai's Nearest Plane Algorithm").
 * Throws `E_DATA` when H holds a value that is not finite, or no damping makes it positive definite.
 */
export async function factorHessian(h: Float32Array, size: number, options: FactorOptions): Promise<HessianFactor> {
  const dead: number[] = [];
  let mean = 0;
  for (let i = 0; i < size; i++) {
    const value = h[i * size + i]!;
    if (!(value >= 0 && value < Infinity)) throw notFinite(i);
    mean += value / size;
    if (value === 0) dead.push(i);
  }
  // A layer that saw only zeros: every weight is as good as another, and the nearest one is the sensible choice.
  if (mean === 0) mean = 1;
  h.reverse();
  let added = 0;
  for (let damping = options.damping ?? 0.01; damping <= MOST_DAMPING; damping = damping === 0 ? 1e-4 : damping * 10) {
    for (let i = 0; i < size; i++) h[i * size + i]! += (damping - added) * mean;
    added = damping;
    const failed = await cholesky({ data: h, rows: size, cols: size }, options);
    if (failed === -1) return { lower: h.reverse(), size, damping, dead };
    if (!h.subarray((failed) * size, (failed + 1) * size).every(Number.isFinite)) throw notFinite(size - 1 - failed);
  }
  throw new PenjingError('E_DATA', `the Hessian (${size} × ${size}) stays singular with ${MOST_DAMPING} times its mean added to its diagonal`, {
    hint: 'Calibrate with more samples, or use a method without a Hessian: --method rtn.',
  });
}

function notFinite(row: number): PenjingError {
  return new PenjingError('E_DATA', `the Hessian is not finite in row ${row}`, {
    hint: 'An activation overflowed or was not a number: check the model and the calibration data.',
  });
}
