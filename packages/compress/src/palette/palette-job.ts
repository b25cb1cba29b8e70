/** Codebooks of one weight matrix: k-means per group of outputs, each weight counting as much as its input is active. */
import { type Job, type JobContext, jobModule, PenjingError, type TensorReference } from '@penjing/core';
import { clearNonFinite } from '../clear-non-finite.js';
import { weightHistogram } from './histogram.js';
import { bestCodebook } from './kmeans.js';

export interface PaletteInput {
  /** Floats (outputs, inputs). */
  readonly matrix: TensorReference;
  /** Codebooks: outputs divided by this share one. */
  readonly groups: number;
  /** Of a codebook, 2 to 256. */
  readonly entries: number;
  /** (inputs): what a squared error counts there; 1 everywhere when absent. */
  readonly factors?: Float64Array | undefined;
}

export interface PaletteOutput {
  /** (groups, entries), ascending, values of the type of the weights; the last entry repeats where fewer would do. */
  readonly codebook: Float32Array;
  /** ½ Σ factor · (w − q)². */
  readonly objective: number;
  readonly snrDb: number;
  readonly maxError: number;
  /** NaN and infinities, counted as 0. */
  readonly nonFinite: number;
}

/** Weights are read once; the histogram that stands for them takes 1.5 MiB. */
export const paletteJob: Job<PaletteInput, PaletteOutput> = { module: jobModule(import.meta.url, './palette-job'), name: 'paletteJob', run: findCodebooks, repeatable: true };

async function findCodebooks({ matrix: reference, groups, entries, factors }: PaletteInput, { read, kernels, signal, onProgress }: JobContext): Promise<PaletteOutput> {
  const tensor = await read(reference);
  const [outputs = 0, inputs = 0] = tensor.shape;
  if (outputs % groups !== 0 || (factors && factors.length !== inputs)) throw new PenjingError('E_SHAPE', `${groups} codebooks, or ${factors?.length ?? 0} factors, do not fit ${outputs} × ${inputs} weights`);
  const weights = new Float32Array(outputs * inputs);
  if (tensor.dtype === 'float32') weights.set(tensor.data as Float32Array);
  else kernels.toFloat32(tensor.dtype as 'float16', tensor.data, weights);
  const nonFinite = clearNonFinite(weights);
  const counting = factors && positiveFactors(factors);
  const size = weights.length / groups;
  const histogram = weightHistogram();
  const codebook = new Float32Array(groups * entries);
  let objective = 0;
  const chosen = new Float32Array(weights.length);
  for (let group = 0; group < groups; group++) {
    signal?.throwIfAborted();
    if (group % 64 === 0) onProgress?.({ phase: 'cluster', done: group, total: groups, unit: 'codebooks' });
    const part = weights.subarray(group * size, (group + 1) * size);
    histogram.add(part, counting);
    const best = bestCodebook(histogram.points(), entries).entries;
    const book = codebook.subarray(group * entries, (group + 1) * entries);
    for (let i = 0; i < entries; i++) book[i] = best[Math.min(i, best.length - 1)]!;
    if (tensor.dtype !== 'float32') round(book, tensor.dtype as 'float16', kernels);
    objective += assignEntries(part, book, factors, chosen.subarray(group * size, (group + 1) * size));
  }
  const { sumSquares, sumSquaredError, maxError } = kernels.errorStats(weights, chosen);
  return { codebook, objective: objective / 2, maxError, nonFinite, snrDb: sumSquaredError === 0 ? Infinity : 10 * Math.log10(sumSquares / sumSquaredError) };
}

/** Puts the nearest entry in place of every weight; gives Σ factor · (w − q)². Entries ascend, so halving finds it. */
export function assignEntries(weights: Float32Array, book: Float32Array, factors: Float64Array | undefined, chosen: Float32Array): number {
  const limits = Float64Array.from({ length: book.length - 1 }, (_, i) => (book[i]! + book[i + 1]!) / 2);
  const period = factors?.length ?? 1;
  let total = 0;
  for (let i = 0, f = 0; i < weights.length; i++, f = f + 1 === period ? 0 : f + 1) {
    const weight = weights[i]!;
    let [low, high] = [0, limits.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (weight > limits[middle]!) low = middle + 1;
      else high = middle;
    }
    const value = book[low]!;
    chosen[i] = value;
    total += (factors ? factors[f]! : 1) * (weight - value) ** 2;
  }
  return total;
}

/** Inputs that were never active count a little too: their weights should stay somewhere near. */
export function positiveFactors(factors: Float64Array): Float64Array {
  const mean = factors.reduce((sum, factor) => sum + factor, 0) / factors.length;
  return mean > 0 ? factors.map((factor) => Math.max(factor, 1e-4 * mean)) : factors.map(() => 1);
}

function round(book: Float32Array, dtype: 'float16' | 'bfloat16', kernels: JobContext['kernels']): void {
  const stored = new Uint16Array(book.length);
  kernels.fromFloat32(dtype, book, stored);
  kernels.toFloat32(dtype, stored, book);
}
