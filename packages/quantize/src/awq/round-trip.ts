/** A matrix as it would be read back after rounding, and what that costs in the metric of the activations. */
import type { Products } from '@penjing/core/linalg';
import type { GridFit, Kernels } from '@penjing/kernels';
import { type BlockGrids, nearestGrids } from '../block-codes.js';
import type { WeightScheme } from '../scheme.js';

/** Float32 (cols, size): one row per output. */
export interface Rows {
  readonly data: Float32Array;
  readonly cols: number;
  readonly size: number;
}

export interface RoundedRows {
  /** (cols, size), read back. */
  readonly values: Float32Array;
  /** (cols, size), from 0. */
  readonly codes: Uint8Array;
  readonly grids: BlockGrids;
}

export interface Rounding {
  readonly scheme: WeightScheme;
  readonly fit: GridFit;
  readonly kernels: Kernels;
}

/**
 * The nearest values on the grids of `cut`, the matrix itself when absent. What lies beyond a grid takes its end: to cut the weights
 * too, as the authors of AWQ do, puts them half-way between two values when the range is symmetric, and rounding might bring them in.
 */
export function roundTrip({ data, cols, size }: Rows, rounding: Rounding, cut: Float32Array = data): RoundedRows {
  const { bits, blockSize } = rounding.scheme;
  const grids = nearestGrids(cut, cols, size, rounding);
  const blocks = Math.ceil(size / blockSize);
  const highest = 2 ** bits - 1;
  const codes = new Uint8Array(data.length);
  const values = new Float32Array(data.length);
  for (let c = 0; c < cols; c++) {
    for (let b = 0; b < blocks; b++) {
      const scale = grids.scales[c * blocks + b]!;
      const zero = grids.zeros[c * blocks + b]!;
      const reciprocal = scale === 0 ? 0 : 1 / scale;
      const end = c * size + Math.min(size, (b + 1) * blockSize);
      for (let i = c * size + b * blockSize; i < end; i++) {
        const code = Math.max(0, Math.min(highest, Math.round(data[i]! * reciprocal) + zero));
        codes[i] = code;
        values[i] = (code - zero) * scale;
      }
    }
  }
  return { values, codes, grids };
}

/** Added and taken away it leaves the nearest integer of a number of moderate size, halves to even: several times faster than Math.round. */
const TO_INTEGER = 1.5 * 2 ** 52;

/** (cols, size): the matrix minus the values of `roundTrip`, for searches that try many grids. Exact halves may fall to the other side. */
export function roundingErrors({ data, cols, size }: Rows, rounding: Rounding, cut: Float32Array = data): Float32Array {
  const { bits, blockSize } = rounding.scheme;
  const { scales, zeros } = nearestGrids(cut, cols, size, rounding);
  const blocks = Math.ceil(size / blockSize);
  const highest = 2 ** bits - 1;
  const errors = new Float32Array(data.length);
  for (let c = 0; c < cols; c++) {
    for (let b = 0; b < blocks; b++) {
      const scale = scales[c * blocks + b]!;
      const low = -zeros[c * blocks + b]!;
      const high = highest + low;
      const reciprocal = scale === 0 ? 0 : 1 / scale;
      const end = c * size + Math.min(size, (b + 1) * blockSize);
      for (let i = c * size + b * blockSize; i < end; i++) {
        const weight = data[i]!;
        let code = weight * reciprocal + TO_INTEGER - TO_INTEGER;
        if (code < low) code = low;
        else if (code > high) code = high;
        errors[i] = weight - Math.fround(code * scale);
      }
    }
  }
  return errors;
}

/** Σ of d ∘ (d H) over the rows d of (cols, size): twice the objective of differences d. */
export async function quadraticCost({ data, cols, size }: Rows, hessian: Float32Array, products: Products): Promise<number> {
  const moved = await products.multiply({ data, rows: cols, cols: size }, { data: hessian, rows: size, cols: size });
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * moved[i]!;
  return sum;
}

/** Columns multiplied by a factor each. */
export function scaleColumns({ data, cols, size }: Rows, factors: Float32Array): Float32Array {
  const out = new Float32Array(data.length);
  for (let c = 0; c < cols; c++) for (let i = 0; i < size; i++) out[c * size + i] = data[c * size + i]! * factors[i]!;
  return out;
}

export function subtract(a: Float32Array, b: Float32Array): Float32Array {
  const out = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) out[i] = a[i]! - b[i]!;
  return out;
}

/** diag(f) H diag(f). */
export function between(hessian: Float32Array, factors: Float32Array): Float32Array {
  const size = factors.length;
  const out = new Float32Array(hessian.length);
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) out[i * size + j] = hessian[i * size + j]! * factors[i]! * factors[j]!;
  return out;
}
