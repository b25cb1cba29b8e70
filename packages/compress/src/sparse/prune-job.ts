/** Pruning in the metric of the activations, of the matrices that read one of them: Wanda and SparseGPT. */
import { DenseTensor, type Job, type JobContext, jobModule, type TensorReference } from '@penjing/core';
import { type HessianSums, readHessian } from '@penjing/core/calibrate';
import { factorHessian, matrixProducts, projectMatrix, type Products, type RowGroup } from '@penjing/core/linalg';
import { clearNonFinite } from '../clear-non-finite.js';
import { CELL, cellSearch, cellTables } from './cells.js';
import { countSmallest, dropPattern, dropSmallest } from './masks.js';
import type { Sparsity } from './sparsity.js';

/** What the activations say. */
export type ActivationMetric =
  /** Σ x² per input: Wanda (Sun et al. 2023, arXiv:2306.11695). */
  | { readonly kind: 'diagonal'; readonly squares: Float64Array }
  /** XᵀX (size, size), an array is overwritten: SparseGPT (Frantar and Alistarh 2023, arXiv:2301.00774). `damping`: 0.01 when absent. */
  | { readonly kind: 'hessian'; readonly sums: HessianSums; readonly damping?: number | undefined };

export interface PruneInput {
  readonly metric: ActivationMetric;
  /** Input features. */
  readonly size: number;
  readonly sparsity: Sparsity;
  /** Float32 (outputs, size) each. */
  readonly matrices: readonly TensorReference[];
}

export interface PrunedMatrix {
  /** (outputs, size), spilled. */
  readonly weights: TensorReference;
  /** ½ (w − q)ᵀ H (w − q), summed over the outputs; H a diagonal for Wanda, with its damping for SparseGPT. */
  readonly objective: number;
  /** Share of zeros. */
  readonly sparsity: number;
  readonly snrDb: number;
  readonly maxError: number;
  /** Weights that were NaN or infinite, and are 0 now. */
  readonly nonFinite: number;
}

export interface PruneOutput {
  /** In order; a text says why one could not be pruned so. */
  readonly matrices: readonly (PrunedMatrix | string)[];
  /** Damping that was needed; 0 for Wanda. */
  readonly damping: number;
  /** Inputs that were never active. */
  readonly dead: number;
}

/** Throws `E_DATA` when the Hessian is not finite, or stays singular. */
export const pruneJob: Job<PruneInput, PruneOutput> = { module: jobModule(import.meta.url, './prune-job'), name: 'pruneJob', run: prune, repeatable: true };

async function prune({ metric, size, sparsity, matrices: references }: PruneInput, context: JobContext): Promise<PruneOutput> {
  const { engine, kernels, signal } = context;
  await using products = matrixProducts(engine);
  const project = metric.kind === 'hessian' ? await sparseGptProjection(metric, { size, sparsity, products, context }) : diagonal(metric, sparsity);
  const matrices: (PrunedMatrix | string)[] = [];
  for (const reference of references) {
    signal?.throwIfAborted();
    const weights = (await context.read(reference)).data.slice() as Float32Array;
    const nonFinite = clearNonFinite(weights);
    const { values, objective } = await project(weights);
    const { sumSquares, sumSquaredError, maxError, nonFinite: overflown } = kernels.errorStats(weights, values);
    if (!Number.isFinite(objective) || overflown > 0) {
      matrices.push('what the other weights make up for overflows');
      continue;
    }
    let zeros = 0;
    for (let i = 0; i < values.length; i++) if (values[i] === 0) zeros++;
    matrices.push({
      weights: await context.spill(DenseTensor.of('float32', [values.length / size, size], values)),
      objective, nonFinite, maxError,
      sparsity: zeros / values.length,
      snrDb: sumSquaredError === 0 ? Infinity : 10 * Math.log10(sumSquares / sumSquaredError),
    });
  }
  return { matrices, damping: project.damping, dead: project.dead };
}

/** Prunes (outputs, size). */
export interface Projection {
  (weights: Float32Array): Projected | Promise<Projected>;
  readonly damping: number;
  readonly dead: number;
}

function diagonal({ squares }: Extract<ActivationMetric, { kind: 'diagonal' }>, sparsity: Sparsity): Projection {
  const dead = squares.reduce((count, square) => count + (square === 0 ? 1 : 0), 0);
  return Object.assign((weights: Float32Array) => wanda(weights, squares, sparsity), { damping: 0, dead });
}

export interface Projected {
  /** (outputs, size). */
  readonly values: Float32Array<ArrayBuffer>;
  readonly objective: number;
}

/** |w| · ‖x‖ compared within each output of (outputs, size): every output loses the same share. */
function wanda(weights: Float32Array, squares: Float64Array, sparsity: Sparsity): Projected {
  const size = squares.length;
  const norms = squares.map(Math.sqrt);
  const count = sparsity.kind === 'share' ? Math.round(sparsity.share * size) : 0;
  const scores = new Float32Array(size);
  const keep = new Uint8Array(size);
  const values = weights.slice();
  let objective = 0;
  for (let start = 0; start < weights.length; start += size) {
    for (let k = 0; k < size; k++) scores[k] = Math.abs(weights[start + k]!) * norms[k]!;
    if (sparsity.kind === 'pattern') dropPattern(scores, size, 1, sparsity, keep);
    else dropSmallest(scores, count, keep);
    for (let k = 0; k < size; k++) {
      if (keep[k] !== 0) continue;
      objective += squares[k]! * weights[start + k]! ** 2;
      values[start + k] = 0;
    }
  }
  return { values, objective: objective / 2 };
}

/** Inputs that are chosen together, at most, as in the paper ("adaptive mask selection"). */
const BLOCK = 128;

export interface SparseGptTools {
  readonly size: number;
  readonly sparsity: Sparsity;
  readonly products: Products;
  readonly context: JobContext;
}

/**
 * Blocks of inputs in order: the mask of each from what its weights would be now, the rest of the matrix makes up for what is lost.
 * Pruning input k of an output costs A[k,k]² w²: the paper's w² / [H⁻¹]ₖₖ, from the other factor (see `factorHessian`). That says how
 * many weights of every eight go; which ones, and what the other of the eight become, is then chosen exactly (`cells.ts`), which the
 * paper does not do.
 */
export async function sparseGptProjection({ sums, damping }: Extract<ActivationMetric, { kind: 'hessian' }>, { size, sparsity, products, context }: SparseGptTools): Promise<Projection> {
  const factor = await factorHessian(await readHessian(sums, size, context), size, { ...context, products, ...(damping !== undefined && { damping }) });
  const { lower } = factor;
  const { kernels, signal } = context;
  // whole groups of a pattern to a cell, whole cells to a block; a long group is a block of its own
  const long = sparsity.kind === 'pattern' && sparsity.of > CELL;
  const cell = sparsity.kind === 'share' ? CELL : sparsity.of * Math.max(1, Math.floor(CELL / sparsity.of));
  const searches = cellSearches(cell, size % cell, sparsity);
  const project = async (weights: Float32Array): Promise<Projected> => {
    const cols = weights.length / size;
    const { values, objective } = await projectMatrix({
      products, kernels, factor, cols,
      group: Math.min(size, long ? cell : cell * Math.floor(BLOCK / cell)),
      weights: turn(weights, cols, size, context),
      ...(signal && { signal }),
      constrain(group) {
        const rows = group.end - group.start;
        if (long) return { keep: patternOf(lower, size, group, cols, sparsity) };
        const choices = new Uint8Array(Math.ceil(rows / cell) * cols);
        if (sparsity.kind === 'share') countSmallest(scoresOf(lower, size, group, cols), cols, cell, sparsity.share, choices);
        if (rows % cell !== 0) {
          const last = choices.subarray(Math.floor(rows / cell) * cols);
          for (let c = 0; c < cols; c++) last[c]! += searches.short;
        }
        return (arrays) => kernels.pruneCells({ ...arrays, ...cellTables(arrays.lower, rows, cell), cell, searches: searches.all, choices });
      },
    });
    return { values: turn(values, size, cols, context), objective };
  };
  return Object.assign(project, { damping: factor.damping, dead: factor.dead.length });
}

/** What it would cost to prune each weight of a group, as a square root; (rows, cols). */
function scoresOf(lower: Float32Array, size: number, { start, end, best }: RowGroup, cols: number): Float32Array {
  const scores = best;
  for (let k = start, at = 0; k < end; k++) {
    const pivot = lower[k * size + k]!;
    for (const last = at + cols; at < last; at++) scores[at] = Math.abs(pivot * scores[at]!);
  }
  return scores;
}

function patternOf(lower: Float32Array, size: number, group: RowGroup, cols: number, pattern: Sparsity): Uint8Array {
  const scores = scoresOf(lower, size, group, cols);
  const keep = new Uint8Array(scores.length);
  dropPattern(scores, group.end - group.start, cols, pattern as Pattern, keep);
  return keep;
}

interface Searches {
  readonly all: readonly Uint16Array[];
  /** The first of those for a short cell. */
  readonly short: number;
}

/** For a share one search per number of inputs that go, for a pattern just one; then the same for the cell at the end, which may be short. */
function cellSearches(cell: number, short: number, sparsity: Sparsity): Searches {
  const searchesOf = (inputs: number): Uint16Array[] =>
    sparsity.kind === 'share'
      ? Array.from({ length: inputs + 1 }, (_, count) => cellSearch(inputs, count))
      : [cellSearch(inputs, dropped(inputs, sparsity), (gone) => followsPattern(gone, inputs, sparsity))];
  const whole = cell > CELL ? [] : searchesOf(cell);
  return { all: short === 0 || cell > CELL ? whole : [...whole, ...searchesOf(short)], short: whole.length };
}

type Pattern = Extract<Sparsity, { kind: 'pattern' }>;

/** Weights of so many inputs that a pattern drops. */
function dropped(inputs: number, { keep, of }: Pattern): number {
  return Math.floor(inputs / of) * (of - keep) + Math.max(0, (inputs % of) - keep);
}

function followsPattern(gone: readonly number[], inputs: number, pattern: Pattern): boolean {
  for (let start = 0; start < inputs; start += pattern.of) {
    const end = Math.min(start + pattern.of, inputs);
    if (gone.filter((i) => i >= start && i < end).length !== dropped(end - start, pattern)) return false;
  }
  return true;
}

function turn(matrix: Float32Array, rows: number, cols: number, { kernels }: JobContext): Float32Array<ArrayBuffer> {
  const turned = new Float32Array(matrix.length);
  kernels.transpose2d(new Uint8Array(matrix.buffer, matrix.byteOffset, matrix.byteLength), new Uint8Array(turned.buffer), rows, cols, 4);
  return turned;
}
