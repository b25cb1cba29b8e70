/** Where the loss and the gradients of a batch come from: an engine, or several that share the batch. */
import { DenseTensor, type Executor, type Feeds, PenjingError, rowBytes } from '@penjing/core';
import { gradientName } from '../gradient/differentiate.js';
import type { RunningStatistic } from '../trainable/batch-statistics.js';
import { updateKernels } from '../optimizers/kernels.js';

export interface LossAndGradients {
  /** Mean over the batch. */
  readonly loss: number;
  /** By weight; the buffers are the caller's. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Next values of running statistics, by name, where there are any. */
  readonly running?: ReadonlyMap<string, Float32Array>;
}

/** Feeds (samples, …) and weights in, the mean loss and its gradients out. */
export type GradientSource = (feeds: Feeds, weights: Feeds) => Promise<LossAndGradients>;

/** One engine with the graph that `differentiate` made. */
export function engineGradients(executor: Executor, names: readonly string[], running: readonly RunningStatistic[] = []): GradientSource {
  const outputs = ['loss', ...names.map(gradientName), ...running.map(({ output }) => output)];
  return async (feeds, weights) => {
    const fetched = await executor.run({ ...feeds, ...weights }, { outputs });
    const buffer = (name: string): Float32Array => (fetched[name] as DenseTensor).data as Float32Array;
    return {
      loss: buffer('loss')[0]!,
      gradients: new Map(names.map((name) => [name, buffer(gradientName(name))])),
      ...(running.length > 0 && { running: new Map(running.map(({ name, output }) => [name, buffer(output)])) }),
    };
  };
}

/**
 * y = 1/N Σ fᵢ over N sources at the same time, each with an equal part of the batch, as data-parallel training has it; the parts count by their number of samples. The loss must
 * be a mean over samples for the average to be that of the whole batch; batch normalization by statistics of the batch goes by those of each part.
 */
export function averagedGradients(sources: readonly GradientSource[]): GradientSource {
  return async (feeds, weights) => {
    const parts = splitFeeds(feeds, sources.length);
    const total = parts.reduce((sum, { samples }) => sum + samples, 0);
    const results = await Promise.all(parts.map(({ part }, i) => sources[i]!(part, weights)));
    const shares = parts.map(({ samples }) => samples / total);
    const [first] = results;
    if (!first) throw new PenjingError('E_OPTION', 'an average over no engines');
    const loss = results.reduce((sum, result, i) => sum + shares[i]! * result.loss, 0);
    const gradients = averageOf(results.map((result) => result.gradients), shares);
    return { loss, gradients, ...(first.running && { running: averageOf(results.map(({ running }) => running!), shares) }) };
  };
}

/** In the order of the parts, whoever was first: the same bits every time. */
function averageOf(parts: readonly ReadonlyMap<string, Float32Array>[], shares: readonly number[]): Map<string, Float32Array> {
  return new Map([...parts[0]!].map(([name, { length }]) => {
    const mean = new Float32Array(length);
    parts.forEach((part, i) => addScaled(mean, part.get(name)!, shares[i]!));
    return [name, mean] as const;
  }));
}

/** Added in their order: the same bits, whoever adds. */
export function meanOf(parts: readonly Float32Array[]): Float32Array {
  const mean = new Float32Array(parts[0]!.length);
  for (const part of parts) addScaled(mean, part, 1 / parts.length);
  return mean;
}

/** a ← a + factor · b. */
export function addScaled(a: Float32Array, b: Float32Array, factor: number): void {
  updateKernels().blend(a, b, 1, factor);
}

/** Rows in N parts that differ by one at most; fewer parts than sources when there are fewer rows. */
function splitFeeds(feeds: Feeds, count: number): { readonly part: Feeds; readonly samples: number }[] {
  const rows = Math.max(...Object.values(feeds).map(({ shape }) => shape[0] ?? 0));
  const parts = Math.min(count, rows);
  return Array.from({ length: parts }, (_, i) => {
    const [start, end] = [Math.floor((i * rows) / parts), Math.floor(((i + 1) * rows) / parts)];
    const part = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, tensor.kind === 'dense' ? sliceRows(tensor, start, end) : tensor]));
    return { part, samples: end - start };
  });
}

/** The part of one of N that have equally many rows. */
export function rowsOfFeeds(feeds: Feeds, index: number, count: number): Feeds {
  return Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => {
    const rows = (tensor.shape[0] ?? 0) / count;
    return [name, tensor.kind === 'dense' ? sliceRows(tensor, index * rows, (index + 1) * rows) : tensor];
  }));
}

function sliceRows(tensor: DenseTensor, start: number, end: number): DenseTensor {
  const { offset, length } = rowBytes(tensor, { start, end });
  return new DenseTensor(tensor.dtype, [end - start, ...tensor.shape.slice(1)], tensor.bytes.slice(offset, offset + length));
}
