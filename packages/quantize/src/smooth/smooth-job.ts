/** SmoothQuant of the matrices that read one activation: its factors, and the error of their int8 products that they promise (Xiao et al. 2022, arXiv:2211.10438). */
import { type Job, type JobContext, jobModule, type TensorReference } from '@penjing/core';
import { readWeights } from '../spill-blocks.js';

export interface SmoothInput {
  /** Smallest and largest value of each channel of the activation, (channels) each. */
  readonly min: Float32Array;
  readonly max: Float32Array;
  /** Mean x² of each channel. */
  readonly squares: Float64Array;
  /** Float32 (outputs, channels) each. */
  readonly weights: readonly TensorReference[];
  /** Share of the range that moves into the weights: 0 to 1. */
  readonly alpha: number;
}

export interface SmoothOutput {
  /** s, by which weights are multiplied and activations divided. */
  readonly factors: Float32Array;
  /** Of each matrix: ½ E‖Δy‖² of a row of its product, without the factors and with them. */
  readonly before: readonly number[];
  readonly after: readonly number[];
}

export const smoothJob: Job<SmoothInput, SmoothOutput> = { module: jobModule(import.meta.url, './smooth-job'), name: 'smoothJob', run: smooth };

/** Magnitudes below are taken for this, as in the authors' code: a channel without weights would get a factor without bound. */
const SMALLEST = 1e-5;

async function smooth({ min, max, squares, weights, alpha }: SmoothInput, context: JobContext): Promise<SmoothOutput> {
  const matrices: Float32Array[] = [];
  for (const reference of weights) matrices.push(await readWeights(reference, context));
  const factors = factorsOf(min, max, columnMaxima(matrices, min.length), alpha);
  const ones = new Float32Array(min.length).fill(1);
  const errors = (by: Float32Array): number[] => matrices.map((matrix) => expectedError(matrix, { min, max, squares }, by));
  return { factors, before: errors(ones), after: errors(factors) };
}

/** max |w| over the outputs of all matrices, (channels). */
function columnMaxima(matrices: readonly Float32Array[], channels: number): Float32Array {
  const most = new Float32Array(channels);
  for (const matrix of matrices) {
    for (let at = 0; at < matrix.length; at += channels) {
      for (let c = 0; c < channels; c++) {
        const magnitude = Math.abs(matrix[at + c]!);
        if (magnitude > most[c]!) most[c] = magnitude;
      }
    }
  }
  return most;
}

/**
 * s = max|x|^α / max|w|^(1−α), centred between its ends, since int8 sees nothing of what all channels have in common. Channels that
 * never held anything keep 1: what they may hold later must not be enlarged.
 */
function factorsOf(min: Float32Array, max: Float32Array, weights: Float32Array, alpha: number): Float32Array {
  const magnitudes = min.map((low, c) => Math.max(-low, max[c]!));
  const factors = magnitudes.map((x, c) => (x > 0 ? Math.max(SMALLEST, x) ** alpha / Math.max(SMALLEST, weights[c]!) ** (1 - alpha) : 0));
  const used = factors.filter((factor) => factor > 0);
  if (used.length === 0) return factors.fill(1);
  let [least, most] = [Infinity, 0];
  for (const factor of used) {
    least = Math.min(least, factor);
    most = Math.max(most, factor);
  }
  const centre = Math.sqrt(least * most);
  return factors.map((factor) => (factor > 0 ? factor / centre : 1));
}

/**
 * ½ E‖Δy‖² of one row y = x Wᵀ, when x / s is rounded on one grid of 256 points and each output of W · s on one of its own: errors of
 * rounding are taken for uniform and independent, a twelfth of the squared step.
 */
function expectedError(matrix: Float32Array, { min, max, squares }: Pick<SmoothInput, 'min' | 'max' | 'squares'>, factors: Float32Array): number {
  const channels = min.length;
  let [low, high, energy] = [0, 0, 0];
  for (let c = 0; c < channels; c++) {
    low = Math.min(low, min[c]! / factors[c]!);
    high = Math.max(high, max[c]! / factors[c]!);
    energy += squares[c]! / factors[c]! ** 2;
  }
  const step = (high - low) / 255;
  let error = 0;
  for (let at = 0; at < matrix.length; at += channels) {
    let [norm, most] = [0, 0];
    for (let c = 0; c < channels; c++) {
      const weight = Math.abs(matrix[at + c]! * factors[c]!);
      norm += weight * weight;
      if (weight > most) most = weight;
    }
    error += step ** 2 * norm + (most / 127) ** 2 * energy;
  }
  return error / 24;
}
