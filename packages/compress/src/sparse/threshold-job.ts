/** Finds the magnitude below which a given share of weights lies, exactly, without sorting them: by the bits of floats, in two passes. */
import { type Job, type JobContext, jobModule, type TensorReference } from '@penjing/core';

export interface ThresholdInput {
  /** Float tensors: one threshold for all of them together. */
  readonly tensors: readonly TensorReference[];
  /** Share of the weights that shall lie below it. */
  readonly share: number;
}

export interface TensorLoss {
  /** Weights below the threshold, those that are 0 already and those that are not finite included. */
  readonly below: number;
  readonly elements: number;
  /** NaN and infinities. */
  readonly nonFinite: number;
  /** Σ w² of all finite weights, and of those below. */
  readonly sumSquares: number;
  readonly lostSquares: number;
  /** Largest magnitude below. */
  readonly maxError: number;
}

export interface ThresholdOutput {
  /** Weights of at least this magnitude stay. */
  readonly least: number;
  readonly losses: readonly TensorLoss[];
}

/** Tensors are read one at a time, each three times; what is counted takes 256 KiB. */
export const thresholdJob: Job<ThresholdInput, ThresholdOutput> = { module: jobModule(import.meta.url, './threshold-job'), name: 'thresholdJob', run: findThreshold };

async function findThreshold({ tensors, share }: ThresholdInput, { read, kernels, signal, onProgress }: JobContext): Promise<ThresholdOutput> {
  let done = 0;
  const eachOf = async (visit: (weights: Float32Array) => void): Promise<void> => {
    for (const reference of tensors) {
      signal?.throwIfAborted();
      onProgress?.({ phase: 'threshold', done: done++, total: 3 * tensors.length, unit: 'tensors' });
      const tensor = await read(reference);
      if (tensor.dtype === 'float32') visit(tensor.data as Float32Array);
      else {
        const floats = new Float32Array(tensor.shape.reduce((product, dim) => product * dim, 1));
        kernels.toFloat32(tensor.dtype as 'float16', tensor.data, floats);
        visit(floats);
      }
    }
  };
  // Magnitudes are in the order of their bits: first the upper half of these, then the lower half where it matters.
  const upper = new Float64Array(1 << 15);
  let all = 0;
  await eachOf((weights) => {
    const bits = bitsOf(weights);
    for (let i = 0; i < bits.length; i++) upper[(bits[i]! >>> 16) & 0x7fff]!++;
    all += bits.length;
  });
  const wanted = Math.round(share * all);
  const coarse = place(upper, wanted);
  const lower = new Float64Array(1 << 16);
  await eachOf((weights) => {
    const bits = bitsOf(weights);
    for (let i = 0; i < bits.length; i++) if (((bits[i]! >>> 16) & 0x7fff) === coarse.at) lower[bits[i]! & 0xffff]!++;
  });
  const fine = place(lower, coarse.rest);
  // Equal weights stay together: a layer of one magnitude must not vanish.
  const least = coarse.at < NOT_FINITE ? floatOf((coarse.at << 16) | fine.at) : LARGEST;
  const losses: TensorLoss[] = [];
  await eachOf((weights) => losses.push(lossOf(weights, least)));
  return { least, losses };
}

/** The upper half of the bits of infinity, and the largest float32. */
const NOT_FINITE = 0x7f80;
const LARGEST = 3.4028234663852886e38;

/** The bin in which the `count`th number falls, and how many of its numbers are wanted. */
function place(bins: Float64Array, count: number): { at: number; rest: number } {
  let rest = count;
  let at = 0;
  while (at < bins.length - 1 && rest >= bins[at]!) rest -= bins[at++]!;
  return { at, rest };
}

function lossOf(weights: Float32Array, least: number): TensorLoss {
  let [below, nonFinite, sumSquares, lostSquares, maxError] = [0, 0, 0, 0, 0];
  for (let i = 0; i < weights.length; i++) {
    const magnitude = Math.abs(weights[i]!);
    if (!(magnitude < Infinity)) {
      nonFinite++;
      below++;
      continue;
    }
    const square = magnitude * magnitude;
    sumSquares += square;
    if (magnitude >= least && magnitude > 0) continue;
    below++;
    lostSquares += square;
    if (magnitude > maxError) maxError = magnitude;
  }
  return { below, nonFinite, sumSquares, lostSquares, maxError, elements: weights.length };
}

function bitsOf({ buffer, byteOffset, length }: Float32Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, length);
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

function floatOf(bits: number): number {
  word[0] = bits;
  return float[0]!;
}
