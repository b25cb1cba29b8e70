/** What a model loses when one weight alone is rounded: one session whose weights are inputs, so that a probe costs a run and loads nothing. */
import { DenseTensor, type Feeds, type Fetches, type Job, type JobContext, jobModule, type PreparedModel, type ShelfReference, type TensorReference } from '@penjing/core';
import type { Kernels } from '@penjing/kernels';
import type { WeightCandidate } from './candidates.js';
import { roundPlainly } from './round-plainly.js';

export interface ProbeInput {
  /** Its weights are inputs. */
  readonly model: PreparedModel;
  readonly shelf: ShelfReference;
  /** Feeds of every sample on the shelf, `0/input_ids`, for these inputs. */
  readonly samples: number;
  readonly inputs: readonly string[];
  /** Floats. */
  readonly outputs: readonly string[];
  readonly metric: ProbeMetric;
  readonly weights: readonly ProbedWeight[];
}

/**
 * `divergence`: mean KL divergence of the distributions that the outputs are logits of, nats. `energy`: of the error over that of the
 * output, of the worst output.
 */
export type ProbeMetric = 'divergence' | 'energy';

export interface ProbedWeight {
  readonly name: string;
  /** Float32 (outputs, inputs), and whether it is stored the other way round. */
  readonly matrix: TensorReference;
  readonly turned: boolean;
  /** Roundings without data. */
  readonly candidates: readonly WeightCandidate[];
}

/** Losses by weight and candidate; Infinity where the model computes no numbers any more. */
export const probeJob: Job<ProbeInput, readonly (readonly number[])[]> = { module: jobModule(import.meta.url, './probe-job'), name: 'probeJob', run: probe };

async function probe({ model, shelf: reference, samples, inputs, outputs, metric, weights }: ProbeInput, context: JobContext): Promise<readonly (readonly number[])[]> {
  const { kernels, signal, onProgress } = context;
  await using executor = await context.load(model);
  const shelf = context.shelf(reference);
  const floats: Record<string, DenseTensor> = {};
  for (const weight of weights) floats[weight.name] = stored((await context.read(weight.matrix)).data as Float32Array, weight, kernels);

  const all: { feeds: Feeds; wanted: readonly Reference[] }[] = [];
  for (let sample = 0; sample < samples; sample++) {
    const feeds: Record<string, DenseTensor> = { ...floats };
    for (const name of inputs) feeds[name] = await shelf.get(`${sample}/${name}`);
    const fetched = await executor.run(feeds, { outputs, ...(signal && { signal }) });
    all.push({ feeds, wanted: outputs.map((name) => (metric === 'divergence' ? distribution(name, fetched, kernels) : { name, values: numbers(name, fetched, kernels) })) });
  }

  const losses: number[][] = [];
  for (const [done, weight] of weights.entries()) {
    onProgress?.({ phase: 'probe', done, total: weights.length, unit: 'weights', item: weight.name });
    const [rows, cols] = weight.matrix.shape as [number, number];
    const data = (await context.read(weight.matrix)).data as Float32Array;
    const found: number[] = [];
    for (const candidate of weight.candidates) {
      signal?.throwIfAborted();
      const rounded = stored(roundPlainly({ data, rows, cols }, candidate, kernels), weight, kernels);
      const sums = outputs.map(() => ({ noise: 0, signal: 0 }));
      for (const { feeds, wanted } of all) {
        const fetched = await executor.run({ ...feeds, [weight.name]: rounded }, { outputs, ...(signal && { signal }) });
        for (const [i, reference] of wanted.entries()) add(sums[i]!, reference, numbers(reference.name, fetched, kernels));
      }
      found.push(Math.max(...sums.map(({ noise, signal: energy }) => (noise === 0 ? 0 : Number.isFinite(noise) ? noise / energy : Infinity))));
    }
    losses.push(found);
  }
  return losses;
}

/** An output of the model as it is. */
interface Reference {
  readonly name: string;
  readonly values: Float32Array;
  /** Of logits: their distributions, and the logarithm of what each sums to. */
  readonly shares?: Float32Array;
  readonly logSums?: Float64Array;
}

function distribution(name: string, fetched: Fetches, kernels: Kernels): Reference {
  const values = numbers(name, fetched, kernels);
  const width = fetched[name]!.shape.at(-1)!;
  const count = width === 0 ? 0 : values.length / width;
  const shares = new Float32Array(values.length);
  const logSums = new Float64Array(count);
  for (let row = 0; row < count; row++) {
    logSums[row] = logSum(values, row * width, width);
    for (let i = row * width; i < (row + 1) * width; i++) shares[i] = Math.exp(values[i]! - logSums[row]!);
  }
  return { name, values, shares, logSums };
}

/** Adds what differs to `noise`, and what it is held against to `signal`: rows of a distribution, or the energy of the output. */
function add(sums: { noise: number; signal: number }, { values, shares, logSums }: Reference, got: Float32Array): void {
  if (shares && logSums) {
    const width = logSums.length === 0 ? 0 : values.length / logSums.length;
    for (const [row, logA] of logSums.entries()) {
      let cross = 0;
      for (let i = row * width; i < (row + 1) * width; i++) if (shares[i]! > 0) cross += shares[i]! * (values[i]! - got[i]!);
      // rounding can leave a few 1e-9 below zero
      const divergence = cross - logA + logSum(got, row * width, width);
      sums.noise += divergence < 0 ? 0 : divergence;
    }
    sums.signal += logSums.length;
    return;
  }
  for (let i = 0; i < values.length; i++) {
    sums.noise += (values[i]! - got[i]!) ** 2;
    sums.signal += values[i]! ** 2;
  }
}

function logSum(values: Float32Array, start: number, width: number): number {
  let top = -Infinity;
  for (let i = start; i < start + width; i++) if (values[i]! > top) top = values[i]!;
  let sum = 0;
  for (let i = start; i < start + width; i++) sum += Math.exp(values[i]! - top);
  return top + Math.log(sum);
}

function numbers(name: string, fetched: Fetches, kernels: Kernels): Float32Array {
  const { dtype, data } = fetched[name] as DenseTensor;
  if (dtype === 'float32') return data as Float32Array;
  if (dtype === 'float64') return Float32Array.from(data as Float64Array);
  const wide = new Float32Array(data.length);
  kernels.toFloat32(dtype as 'float16', data, wide);
  return wide;
}

/** A matrix (outputs, inputs) as the model takes it. */
function stored(data: Float32Array, { matrix, turned }: ProbedWeight, kernels: Kernels): DenseTensor {
  const [rows, cols] = matrix.shape as [number, number];
  if (!turned) return DenseTensor.of('float32', [rows, cols], data);
  const other = new Float32Array(data.length);
  kernels.transpose2d(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), new Uint8Array(other.buffer), rows, cols, 4);
  return DenseTensor.of('float32', [cols, rows], other);
}
