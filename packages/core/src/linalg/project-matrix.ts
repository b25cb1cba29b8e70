/** Projects a weight matrix onto a constraint, row group by row group, in the metric of a Hessian: the core of GPTQ and SparseGPT. */
import type { ColumnGrid, Kernels, ProjectRowsArgs } from '@penjing/kernels';
import { PenjingError } from '../errors.js';
import type { TaskOptions } from '../task.js';
import type { HessianFactor } from './hessian.js';
import type { Products } from './products.js';

/** Rows [start, end) of the matrix, to be constrained together. */
export interface RowGroup {
  readonly start: number;
  readonly end: number;
  /** (end − start, cols): the best values that these rows can have, given what the rows before them became. Computed when it is read. */
  readonly best: Float32Array;
}

/** The rows of a group as a kernel takes them. */
export type GroupRows = Omit<ProjectRowsArgs, 'keep' | 'grid'>;

/** Decides for all rows of a group at once: fills `values` and `differences`, gives ‖A (best − values)‖² over these rows. */
export type Projection = (rows: GroupRows) => number;

/** What the rows of a group may become, one after the other. */
export interface Constraint {
  /** (rows of the group, cols): 0 where a weight becomes 0. */
  readonly keep?: Uint8Array;
  readonly grid?: Omit<ColumnGrid, 'codes'>;
}

export interface ProjectMatrixOptions extends Pick<TaskOptions, 'signal'> {
  readonly products: Products;
  readonly kernels: Kernels;
  readonly factor: HessianFactor;
  /** (factor.size, cols), input features first as MatMul has them: the original weights. */
  readonly weights: Float32Array;
  readonly cols: number;
  /** Rows that are constrained together, at most 256. */
  readonly group: number;
  readonly constrain: (group: RowGroup) => Constraint | Projection;
}

export interface ProjectedMatrix {
  /** (size, cols). */
  readonly values: Float32Array;
  /** (size, cols); empty without a grid. */
  readonly codes: Uint8Array;
  /** ½ Σ over columns of (w − q)ᵀ H (w − q), H with its damping. */
  readonly objective: number;
}

/** Rows that are worked on together: few enough for kernels, enough for the engine to be worth its call. */
const PANEL = 128;

export async function projectMatrix(options: ProjectMatrixOptions): Promise<ProjectedMatrix> {
  const { products, kernels, weights, cols, group, constrain, signal } = options;
  const { lower, size } = options.factor;
  if (!(Number.isInteger(group) && group >= 1 && group <= 256)) throw new PenjingError('E_OPTION', `groups of ${group} rows: 1 to 256 are possible`);
  const panel = group * Math.max(1, Math.floor(PANEL / group));
  const values = new Float32Array(size * cols);
  const differences = new Float32Array(size * cols);
  let codes = new Uint8Array(0);
  let objective = 0;
  const rowsOf = (matrix: Float32Array, start: number, end: number): Float32Array => matrix.subarray(start * cols, end * cols);

  for (let first = 0; first < size; first += panel) {
    signal?.throwIfAborted();
    const last = Math.min(first + panel, size);
    const carriedPanel =
      first === 0
        ? new Float32Array(last * cols)
        : await products.multiply({ data: lower.subarray(first * size, last * size), rows: last - first, cols: size, window: [0, first] }, { data: differences, rows: first, cols });
    for (let start = first; start < last; start += group) {
      const end = Math.min(start + group, last);
      const rows = end - start;
      const carried = rowsOf(carriedPanel, start - first, end - first);
      if (start > first) kernels.addProduct(block(lower, size, start, end, first, start), rowsOf(differences, first, start), carried, rows, start - first, cols);
      const diagonal = block(lower, size, start, end, start, end);
      const original = rowsOf(weights, start, end);
      const choice = constrain({
        start,
        end,
        get best() {
          const best = carried.slice();
          if (start > 0) kernels.solveLower(diagonal, best, rows, cols);
          for (let i = 0; i < best.length; i++) best[i]! += original[i]!;
          return best;
        },
      });
      const arrays: GroupRows = { rows, cols, lower: diagonal, weights: original, carried, values: rowsOf(values, start, end), differences: rowsOf(differences, start, end) };
      if (typeof choice === 'function') {
        objective += choice(arrays);
        continue;
      }
      const { keep, grid } = choice;
      if (grid && codes.length === 0) codes = new Uint8Array(size * cols);
      objective += kernels.projectRows({ ...arrays, keep, grid: grid && { ...grid, codes: codes.subarray(start * cols, end * cols) } });
    }
  }
  return { values, codes, objective: objective / 2 };
}

/** A copy of rows [top, bottom), columns [left, right) of a square matrix. */
function block(matrix: Float32Array, size: number, top: number, bottom: number, left: number, right: number): Float32Array {
  const out = new Float32Array((bottom - top) * (right - left));
  for (let i = top; i < bottom; i++) out.set(matrix.subarray(i * size + left, i * size + right), (i - top) * (right - left));
  return out;
}
