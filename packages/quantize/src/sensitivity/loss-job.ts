/** What every candidate would lose on the matrices that read one activation: one Hessian, a sample of the outputs. */
import { type Job, type JobContext, jobModule, PenjingError, type TensorReference } from '@penjing/core';
import { matrixProducts, type Products } from '@penjing/core/linalg';
import type { Kernels } from '@penjing/kernels';
import { type GptqProjection, gptqRounding } from '../gptq/gptq-job.js';
import { storedBits } from '../scheme.js';
import type { WeightCandidate } from './candidates.js';

export interface LossInput {
  /** XᵀX, (size, size), and the rows it sums; absent for weights whose inputs are not known: every input then counts as much. */
  readonly gram: { readonly sums: Float32Array; readonly rows: number } | undefined;
  /** Matrices of (outputs, inputs). */
  readonly weights: readonly TensorReference[];
  readonly candidates: readonly WeightCandidate[];
  /** Outputs of each matrix that are tried, at even distances. */
  readonly outputs: number;
}

/** Of one matrix, summed over all its outputs as far as the sample says, per row of activations. */
export interface MatrixLosses {
  /** Σ wᵀ H w: the energy of what the layer computes. */
  readonly signal: number;
  /** Σ (w − q)ᵀ H (w − q), by candidate; undefined where the method cannot be used. */
  readonly errors: readonly (number | undefined)[];
  /** Mean of the diagonal of H. */
  readonly trace: number;
}

export const lossJob: Job<LossInput, readonly MatrixLosses[]> = { module: jobModule(import.meta.url, './loss-job'), name: 'lossJob', run: losses };

/** A matrix as far as it is tried. */
interface Sampled {
  readonly data: Float32Array;
  readonly rows: number;
  readonly cols: number;
  /** Outputs that each of them stands for. */
  readonly weight: number;
}

async function losses({ gram, weights, candidates, outputs }: LossInput, context: JobContext): Promise<readonly MatrixLosses[]> {
  const { engine, kernels, signal } = context;
  await using products = matrixProducts(engine);
  const metric = gram && { data: gram.sums, rows: Math.sqrt(gram.sums.length), count: gram.rows };
  const matrices: Sampled[] = [];
  for (const weight of weights) matrices.push(sampled(await context.read(weight), outputs));
  const energy = (matrix: Sampled, data: Float32Array): Promise<number> => energyOf({ ...matrix, data }, metric, products);

  const results = [];
  for (const matrix of matrices) {
    signal?.throwIfAborted();
    results.push({ signal: await energy(matrix, matrix.data), trace: metric ? traceOf(metric) : 1, errors: new Array<number | undefined>(candidates.length).fill(undefined) });
  }
  for (const [index, candidate] of candidates.entries()) {
    if (candidate.method === 'gptq') continue;
    for (const [i, matrix] of matrices.entries()) {
      signal?.throwIfAborted();
      results[i]!.errors[index] = await energy(matrix, rounded(matrix, candidate, kernels));
    }
  }
  if (metric) {
    // One factorisation per size of blocks serves every matrix and grid.
    for (const blockSize of new Set(candidates.filter(({ method }) => method === 'gptq').map((candidate) => candidate.blockSize))) {
      const chosen = candidates.flatMap((candidate, index) => (candidate.method === 'gptq' && candidate.blockSize === blockSize ? [{ candidate, index }] : []));
      const { round, order } = await gptqRounding({ hessian: metric.data.slice(), size: metric.rows, scheme: chosen[0]!.candidate }, products, context);
      for (const [i, matrix] of matrices.entries()) {
        for (const { candidate, index } of chosen) {
          signal?.throwIfAborted();
          results[i]!.errors[index] = await energy(matrix, inputsLast(await round(matrix.data, matrix.rows, candidate), matrix, order));
        }
      }
    }
  }
  return results;
}

/** Rows at even distances, all when there are few. Throws `E_DATA` for weights that are not finite. */
function sampled({ data, shape }: { readonly data: unknown; readonly shape: readonly number[] }, limit: number): Sampled {
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

interface Metric {
  readonly data: Float32Array;
  readonly rows: number;
  /** Rows of activations. */
  readonly count: number;
}

/** Σ over the rows d of dᵀ H d, per row of activations; without H of dᵀ d. */
async function energyOf({ data, rows, cols, weight }: Sampled, metric: Metric | undefined, products: Products): Promise<number> {
  const product = metric ? await products.multiply({ data, rows, cols }, { data: metric.data, rows: cols, cols }) : data;
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * product[i]!;
  // Rounding can leave a little below zero.
  return (Math.max(0, sum) * weight) / Math.max(1, metric?.count ?? 1);
}

function traceOf({ data, rows, count }: Metric): number {
  let sum = 0;
  for (let i = 0; i < rows; i++) sum += data[i * rows + i]!;
  return sum / Math.max(1, rows * count);
}

/** w − q of a matrix that was rounded with its inputs as rows, as (rows, cols). */
function inputsLast({ turned, values }: GptqProjection, { rows, cols }: Sampled, order: Uint32Array | undefined): Float32Array {
  const differences = new Float32Array(rows * cols);
  for (let place = 0; place < cols; place++) {
    const input = order?.[place] ?? place;
    for (let row = 0; row < rows; row++) differences[row * cols + input] = turned[place * rows + row]! - values[place * rows + row]!;
  }
  return differences;
}

/** w − q, rounded to a grid without data. */
function rounded({ data, rows, cols }: Sampled, candidate: WeightCandidate, kernels: Kernels): Float32Array {
  const { blockSize, symmetric } = candidate;
  const bits = storedBits(candidate);
  const blocks = Math.ceil(cols / blockSize);
  const stored = {
    values: new Uint8Array(rows * blocks * ((blockSize * bits) / 8)),
    scales: new Float32Array(rows * blocks),
    zeroPoints: symmetric ? undefined : new Uint8Array(rows * Math.ceil((blocks * bits) / 8)),
  };
  const form = { rows, cols, bits, blockSize, symmetric, layout: 'nbits', scaleDtype: 'float32', values: stored.values, scales: stored.scales, ...(stored.zeroPoints && { zeroPoints: stored.zeroPoints }) } as const;
  kernels.quantizeBlocks({ ...form, src: data, srcDtype: 'float32', gridBits: candidate.bits, fit: candidate.method === 'hqq' ? 'half-quadratic' : 'range' });
  const dst = new Float32Array(data.length);
  kernels.dequantizeBlocks({ ...form, dst });
  for (let i = 0; i < dst.length; i++) dst[i] = data[i]! - dst[i]!;
  return dst;
}
