/** What jobs that measure losses share: the matrices that read one activation, a sample of their outputs, and the energy of an error in its metric. */
import { PenjingError } from '../errors.js';
import type { JobContext, TensorReference } from '../job.js';
import { matrixProducts, type Products } from '../linalg/products.js';

export interface LossInput<Candidate> {
  /** XᵀX, (size, size), and the rows it sums; absent for weights whose inputs are not known: every input then counts as much. */
  readonly gram: { readonly sums: Float32Array; readonly rows: number } | undefined;
  /** Float32 matrices of (outputs, inputs). */
  readonly weights: readonly TensorReference[];
  readonly candidates: readonly Candidate[];
  /** Outputs of each matrix that are tried, at even distances. */
  readonly outputs: number;
}

/** Of one matrix, summed over all its outputs as far as the sample says, per row of activations. */
export interface MatrixLosses {
  /** Σ wᵀ H w: the energy of what the layer computes. */
  readonly signal: number;
  /** Σ (w − q)ᵀ H (w − q), by candidate; undefined where it cannot be used. */
  readonly errors: readonly (number | undefined)[];
  /** Mean of the diagonal of H; 1 without one. */
  readonly trace: number;
}

/** Some outputs of a matrix: (rows, cols). */
export interface SampledRows {
  readonly data: Float32Array;
  readonly rows: number;
  readonly cols: number;
  /** Outputs that each of them stands for. */
  readonly weight: number;
}

export interface LossMeter extends AsyncDisposable {
  readonly matrices: readonly SampledRows[];
  /** XᵀX; absent when what reaches the matrices is not known. Whoever overwrites it takes a copy. */
  readonly hessian: { readonly data: Float32Array; readonly size: number } | undefined;
  readonly products: Products;
  /** Notes that a candidate changes a matrix by `differences`, (rows, cols). */
  readonly note: (matrix: number, candidate: number, differences: Float32Array) => Promise<void>;
  readonly losses: readonly MatrixLosses[];
}

/** Reads the matrices. Throws `E_DATA` for weights that are not finite. */
export async function lossMeter({ gram, weights, candidates, outputs }: LossInput<unknown>, { engine, read, signal }: JobContext): Promise<LossMeter> {
  const products = matrixProducts(engine);
  const size = gram && Math.sqrt(gram.sums.length);
  const energyOf = async ({ data, rows, cols, weight }: SampledRows): Promise<number> => {
    signal?.throwIfAborted();
    const product = gram ? await products.multiply({ data, rows, cols }, { data: gram.sums, rows: cols, cols }) : data;
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum += data[i]! * product[i]!;
    // Rounding can leave a little below zero.
    return (Math.max(0, sum) * weight) / Math.max(1, gram?.rows ?? 1);
  };
  const matrices: SampledRows[] = [];
  // All are read before the first product loads a graph: a matrix that is refused leaves nothing to dispose of.
  for (const weight of weights) matrices.push(sampleRows(await read(weight), outputs));
  const losses: (MatrixLosses & { readonly errors: (number | undefined)[] })[] = [];
  for (const matrix of matrices) {
    losses.push({ signal: await energyOf(matrix), trace: gram ? traceOf(gram.sums, size!, gram.rows) : 1, errors: new Array<number | undefined>(candidates.length).fill(undefined) });
  }
  return {
    matrices, products, losses,
    hessian: gram && { data: gram.sums, size: size! },
    async note(matrix, candidate, differences) {
      losses[matrix]!.errors[candidate] = await energyOf({ ...matrices[matrix]!, data: differences });
    },
    [Symbol.asyncDispose]: () => products[Symbol.asyncDispose](),
  };
}

/** Rows at even distances, all when there are few. */
function sampleRows({ data, shape }: { readonly data: unknown; readonly shape: readonly number[] }, limit: number): SampledRows {
  const [rows, cols] = shape as [number, number];
  const all = data as Float32Array;
  const count = Math.min(rows, limit);
  const kept = new Float32Array(count * cols);
  for (let i = 0; i < count; i++) {
    const row = Math.floor((i * rows) / count);
    kept.set(all.subarray(row * cols, (row + 1) * cols), i * cols);
  }
  if (!kept.every(Number.isFinite)) throw new PenjingError('E_DATA', 'the weight holds values that are not finite');
  return { data: kept, rows: count, cols, weight: rows / count };
}

function traceOf(sums: Float32Array, size: number, rows: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += sums[i * size + i]!;
  return sum / Math.max(1, size * rows);
}
