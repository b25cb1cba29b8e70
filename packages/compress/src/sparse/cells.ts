/** Pruning in the metric of a Hessian, exact within cells of a few inputs: all masks of a cell are weighed against each other. */
import type { Kernels } from '@penjing/kernels';

/** Inputs of a cell: 2⁸ masks are few enough to try them all, for every output. */
export const CELL = 8;

/** The masks that a cell may have, as bits of what goes. */
export interface CellMasks {
  /** Inputs of the cell. */
  readonly size: number;
  /** By the number of weights that go. */
  readonly byCount: readonly MaskList[];
}

interface MaskList {
  /** What goes, one list per mask. */
  readonly gone: readonly (readonly number[])[];
  /** Places i · size + j of the pairs i ≤ j of what goes, mask after mask. */
  readonly pairs: Uint8Array;
}

/** All masks of `size` inputs that `allowed` lets pass. */
export function cellMasks(size: number, allowed: (gone: readonly number[]) => boolean = () => true): CellMasks {
  const byCount: (readonly number[])[][] = Array.from({ length: size + 1 }, () => []);
  for (let bits = 0; bits < 1 << size; bits++) {
    const gone = Array.from({ length: size }, (_, i) => i).filter((i) => ((bits >> i) & 1) === 1);
    if (allowed(gone)) byCount[gone.length]!.push(gone);
  }
  return { size, byCount: byCount.map((gone) => ({ gone, pairs: Uint8Array.from(gone.flatMap((mask) => mask.flatMap((i, at) => mask.slice(at).map((j) => i * size + j)))) })) };
}

export interface BlockOptions {
  /** (rows, rows): the block of A on the diagonal, H = AᵀA. */
  readonly lower: Float32Array;
  /** (rows, cols): the best values, given what the rows before the block became. */
  readonly best: Float32Array;
  readonly rows: number;
  readonly cols: number;
  /** Cells of so many rows; the last may be short. */
  readonly cell: number;
  readonly masksOf: (size: number) => CellMasks;
  /** How many of a cell go, by output. */
  readonly countOf: (start: number, end: number, col: number) => number;
  readonly kernels: Kernels;
}

/**
 * Prunes the rows of a block, cell by cell. With P what goes of a cell and G = LᵀL, L its part of A, the cheapest way to lose P costs
 * b_Pᵀ ((G⁻¹)_PP)⁻¹ b_P and leaves b − G⁻¹_·P ((G⁻¹)_PP)⁻¹ b_P (Hassibi and Stork 1992, for several weights at a time; the rows
 * after the cell make up for the rest). Returns the values (rows, cols) and twice what they add to the objective.
 */
export function pruneBlock({ lower, best, rows, cols, cell, masksOf, countOf, kernels }: BlockOptions): { values: Float32Array; cost: number } {
  const values = new Float32Array(rows * cols);
  const errors = new Float32Array(rows * cols);
  let cost = 0;
  for (let start = 0; start < rows; start += cell) {
    const end = Math.min(start + cell, rows);
    const masks = masksOf(end - start);
    const target = new Float32Array((end - start) * cols);
    const diagonal = part(lower, rows, start, end, start, end);
    if (start > 0) {
      kernels.addProduct(part(lower, rows, start, end, 0, start), errors.subarray(0, start * cols), target, end - start, start, cols);
      kernels.solveLower(diagonal, target, end - start, cols);
    }
    for (let i = 0; i < target.length; i++) target[i]! += best[start * cols + i]!;
    cost += pruneCell(diagonal, target, cols, masks, (col) => countOf(start, end, col), values.subarray(start * cols, end * cols));
    for (let i = start * cols; i < end * cols; i++) errors[i] = best[i]! - values[i]!;
  }
  return { values, cost };
}

/** The best mask of every output of one cell. */
function pruneCell(lower: Float32Array, target: Float32Array, cols: number, { size, byCount }: CellMasks, countOf: (col: number) => number, values: Float32Array): number {
  const inverse = inverseOf(lower, size);
  const coefficients: (Float64Array | undefined)[] = [];
  const b = new Float64Array(size);
  const products = new Float64Array(size * size);
  const multipliers = new Float64Array(size);
  let cost = 0;
  for (let c = 0; c < cols; c++) {
    for (let i = 0; i < size; i++) b[i] = target[i * cols + c]!;
    const count = countOf(c);
    const { gone, pairs } = byCount[count]!;
    const weights = (coefficients[count] ??= costsOf(inverse, size, gone));
    for (let i = 0; i < size; i++) for (let j = i; j < size; j++) products[i * size + j] = b[i]! * b[j]!;
    const length = (count * (count + 1)) / 2;
    let least = Infinity;
    let at = 0;
    for (let mask = 0, from = 0; mask < gone.length; mask++, from += length) {
      let sum = 0;
      for (let t = from; t < from + length; t++) sum += weights[t]! * products[pairs[t]!]!;
      if (sum < least) {
        least = sum;
        at = mask;
      }
    }
    const mask = gone[at]!;
    cost += least;
    // ((G⁻¹)_PP)⁻¹ b_P: off the diagonal the coefficients count twice
    multipliers.fill(0);
    for (let i = 0, t = at * length; i < count; i++) {
      for (let j = i; j < count; j++, t++) {
        if (i === j) multipliers[i]! += weights[t]! * b[mask[i]!]!;
        else {
          multipliers[i]! += (weights[t]! / 2) * b[mask[j]!]!;
          multipliers[j]! += (weights[t]! / 2) * b[mask[i]!]!;
        }
      }
    }
    for (let k = 0; k < size; k++) {
      let value = b[k]!;
      for (let i = 0; i < count; i++) value -= inverse[k * size + mask[i]!]! * multipliers[i]!;
      values[k * cols + c] = value;
    }
    for (let i = 0; i < count; i++) values[mask[i]! * cols + c] = 0;
  }
  return cost;
}

/** ((G⁻¹)_PP)⁻¹ of every mask, its pairs i ≤ j in order, those off the diagonal twice. */
function costsOf(inverse: Float64Array, size: number, gone: readonly (readonly number[])[]): Float64Array {
  const all: number[] = [];
  for (const mask of gone) {
    const count = mask.length;
    const matrix = invert(Float64Array.from({ length: count * count }, (_, at) => inverse[mask[Math.floor(at / count)]! * size + mask[at % count]!]!), count);
    for (let i = 0; i < count; i++) for (let j = i; j < count; j++) all.push(matrix[i * count + j]! * (i === j ? 1 : 2));
  }
  return Float64Array.from(all);
}

/** (LᵀL)⁻¹ = L⁻¹ L⁻ᵀ. */
function inverseOf(lower: Float32Array, size: number): Float64Array {
  const root = new Float64Array(size * size);
  for (let col = 0; col < size; col++) {
    for (let i = col; i < size; i++) {
      let sum = i === col ? 1 : 0;
      for (let j = col; j < i; j++) sum -= lower[i * size + j]! * root[j * size + col]!;
      root[i * size + col] = sum / lower[i * size + i]!;
    }
  }
  return Float64Array.from({ length: size * size }, (_, at) => {
    const [i, j] = [Math.floor(at / size), at % size];
    let sum = 0;
    for (let k = 0; k <= Math.min(i, j); k++) sum += root[i * size + k]! * root[j * size + k]!;
    return sum;
  });
}

/** Inverse of a small symmetric positive definite matrix by Gauss and Jordan; no pivots are needed for those. */
function invert(matrix: Float64Array, size: number): Float64Array {
  const inverse = Float64Array.from({ length: size * size }, (_, at) => (Math.floor(at / size) === at % size ? 1 : 0));
  for (let p = 0; p < size; p++) {
    const pivot = matrix[p * size + p]!;
    for (let c = 0; c < size; c++) {
      matrix[p * size + c]! /= pivot;
      inverse[p * size + c]! /= pivot;
    }
    for (let r = 0; r < size; r++) {
      const factor = matrix[r * size + p]!;
      if (r === p || factor === 0) continue;
      for (let c = 0; c < size; c++) {
        matrix[r * size + c]! -= factor * matrix[p * size + c]!;
        inverse[r * size + c]! -= factor * inverse[p * size + c]!;
      }
    }
  }
  return inverse;
}

/** Rows [top, bottom), columns [left, right) of a square matrix. */
function part(matrix: Float32Array, size: number, top: number, bottom: number, left: number, right: number): Float32Array {
  const out = new Float32Array((bottom - top) * (right - left));
  for (let i = top; i < bottom; i++) out.set(matrix.subarray(i * size + left, i * size + right), (i - top) * (right - left));
  return out;
}
