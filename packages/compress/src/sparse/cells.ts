/** Pruning in the metric of a Hessian, exact within cells of a few inputs: all masks of a cell are weighed against each other. */
import type { Kernels } from '@penjing/kernels';

/** Inputs of a cell: 2⁸ masks are few enough to try them all, for every output. */
export const CELL = 8;

/** The masks that a cell may have, as bits of what goes. */
export interface CellMasks {
  /** Inputs of the cell. */
  readonly size: number;
  /** By the number of weights that go. */
  readonly byCount: readonly (readonly Mask[])[];
}

/** What goes. */
type Mask = readonly number[];

/** All masks of `size` inputs that `allowed` lets pass. */
export function cellMasks(size: number, allowed: (gone: readonly number[]) => boolean = () => true): CellMasks {
  const byCount: Mask[][] = Array.from({ length: size + 1 }, () => []);
  for (let bits = 0; bits < 1 << size; bits++) {
    const gone = Array.from({ length: size }, (_, i) => i).filter((i) => ((bits >> i) & 1) === 1);
    if (allowed(gone)) byCount[gone.length]!.push(gone);
  }
  return { size, byCount };
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
  /** How many of a cell go, for every output. */
  readonly countsOf: (start: number, end: number) => Uint8Array;
  readonly kernels: Kernels;
}

/**
 * Prunes the rows of a block, cell by cell. With P what goes of a cell and G = LᵀL, L its part of A, the cheapest way to lose P costs
 * b_Pᵀ ((G⁻¹)_PP)⁻¹ b_P and leaves b − G⁻¹_·P ((G⁻¹)_PP)⁻¹ b_P (Hassibi and Stork 1992, for several weights at a time; the rows
 * after the cell make up for the rest). Returns the values (rows, cols) and twice what they add to the objective.
 */
export function pruneBlock({ lower, best, rows, cols, cell, masksOf, countsOf, kernels }: BlockOptions): { values: Float32Array; cost: number } {
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
    cost += pruneCell(diagonal, target, cols, masks, countsOf(start, end), values.subarray(start * cols, end * cols), kernels);
    for (let i = start * cols; i < end * cols; i++) errors[i] = best[i]! - values[i]!;
  }
  return { values, cost };
}

/** Outputs at a time: their costs stay in the cache. */
const OUTPUTS = 512;

/** The best mask of every output of one cell. */
function pruneCell(lower: Float32Array, target: Float32Array, cols: number, { size, byCount }: CellMasks, counts: Uint8Array, values: Float32Array, kernels: Kernels): number {
  const inverse = inverseOf(lower, size);
  values.set(target);
  // outputs that lose equally many stand together
  const ends = new Int32Array(size + 2);
  for (let c = 0; c < cols; c++) ends[counts[c]! + 1]!++;
  for (let count = 0; count <= size; count++) ends[count + 1]! += ends[count]!;
  const sorted = new Int32Array(cols);
  const next = ends.slice();
  for (let c = 0; c < cols; c++) sorted[next[counts[c]!]!++] = c;
  let cost = 0;
  for (const [count, masks] of byCount.entries()) {
    const outputs = sorted.subarray(ends[count], ends[count + 1]);
    if (count === 0 || outputs.length === 0) continue;
    const inverses = masks.map((mask) => invert(Float64Array.from({ length: count * count }, (_, at) => inverse[mask[Math.floor(at / count)]! * size + mask[at % count]!]!), count));
    const coefficients = coefficientsOf(masks, inverses, size);
    for (let from = 0; from < outputs.length; from += OUTPUTS) {
      const some = outputs.subarray(from, from + OUTPUTS);
      const best = cheapest(coefficients, gather(target, cols, some, size), some.length, size, kernels);
      for (let x = 0; x < some.length; x++) cost += place(values, cols, some[x]!, { inverse, size, mask: masks[best[x]!]!, inner: inverses[best[x]!]! });
    }
  }
  return cost;
}

/** (size, outputs) */
function gather(target: Float32Array, cols: number, outputs: Int32Array, size: number): Float32Array {
  const width = outputs.length;
  const gathered = new Float32Array(size * width);
  for (let i = 0; i < size; i++) for (let x = 0; x < width; x++) gathered[i * width + x] = target[i * cols + outputs[x]!]!;
  return gathered;
}

/** b_Pᵀ ((G⁻¹)_PP)⁻¹ b_P is linear in the products of b: their coefficients, those of two different weights twice; (masks, pairs i ≤ j). */
function coefficientsOf(masks: readonly Mask[], inverses: readonly Float64Array[], size: number): Float32Array {
  const pairs = (size * (size + 1)) / 2;
  const coefficients = new Float32Array(masks.length * pairs);
  for (const [m, mask] of masks.entries()) {
    for (const [i, row] of mask.entries()) {
      for (let j = i; j < mask.length; j++) {
        const at = row * size - (row * (row - 1)) / 2 + mask[j]! - row;
        coefficients[m * pairs + at] = inverses[m]![i * mask.length + j]! * (i === j ? 1 : 2);
      }
    }
  }
  return coefficients;
}

/** For each of `width` outputs the mask that costs least; b (size, width). */
function cheapest(coefficients: Float32Array, b: Float32Array, width: number, size: number, kernels: Kernels): Uint8Array {
  const pairs = (size * (size + 1)) / 2;
  const masks = coefficients.length / pairs;
  const best = new Uint8Array(width);
  if (masks === 1) return best;
  const products = new Float32Array(pairs * width);
  for (let i = 0, at = 0; i < size; i++) {
    for (let j = i; j < size; j++, at += width) for (let x = 0; x < width; x++) products[at + x] = b[i * width + x]! * b[j * width + x]!;
  }
  const costs = new Float32Array(masks * width);
  kernels.addProduct(coefficients, products, costs, masks, pairs, width);
  const least = costs.slice(0, width);
  for (let mask = 1; mask < masks; mask++) {
    for (let x = 0, at = mask * width; x < width; x++, at++) {
      const cost = costs[at]!;
      if (cost >= least[x]!) continue;
      least[x] = cost;
      best[x] = mask;
    }
  }
  return best;
}

/** Of one output; one array for all of them. */
const MULTIPLIERS = new Float64Array(CELL);

interface Choice {
  /** G⁻¹. */
  readonly inverse: Float64Array;
  readonly size: number;
  readonly mask: Mask;
  /** ((G⁻¹)_PP)⁻¹. */
  readonly inner: Float64Array;
}

/** b − G⁻¹_·P ((G⁻¹)_PP)⁻¹ b_P in place of b, in one column; what that costs. */
function place(values: Float32Array, cols: number, c: number, { inverse, size, mask, inner }: Choice): number {
  const count = mask.length;
  let cost = 0;
  for (let i = 0; i < count; i++) {
    let multiplier = 0;
    for (let j = 0; j < count; j++) multiplier += inner[i * count + j]! * values[mask[j]! * cols + c]!;
    MULTIPLIERS[i] = multiplier;
    cost += multiplier * values[mask[i]! * cols + c]!;
  }
  for (let k = 0; k < size; k++) {
    let value = values[k * cols + c]!;
    for (let i = 0; i < count; i++) value -= inverse[k * size + mask[i]!]! * MULTIPLIERS[i]!;
    values[k * cols + c] = value;
  }
  for (let i = 0; i < count; i++) values[mask[i]! * cols + c] = 0;
  return cost;
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
