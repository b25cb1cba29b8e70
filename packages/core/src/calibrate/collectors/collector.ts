/** What a collector of one statistic is, and how it reads the tensors it is given. */
import type { Kernels } from '@penjing/kernels';
import { PenjingError } from '../../errors.js';
import type { Products } from '../../linalg/products.js';
import type { DenseTensor } from '../../tensor.js';

export interface CollectorTools {
  readonly kernels: Kernels;
  readonly products: Products;
}

/** Memory does not grow with the number of tensors added. */
export interface Collector<Result> {
  add(tensor: DenseTensor): Promise<void>;
  result(): Result | Promise<Result>;
}

/**
 * A collector of samples in parts, for the same bits from one as from many: sums of floats depend on their order, so that each part has its own, and these are added in the order of the
 * parts, whoever made them.
 */
export interface PartCollector<Result, State = Result> extends Collector<Result> {
  /** What was added since the last part ended is a part. */
  endPart(): Promise<void>;
  /** Gives away all that was added. */
  pause(): Promise<State>;
  /** Adds what another one gave away: one part or, before anything else, many. It may be overwritten. */
  resume(state: State): Promise<void>;
}

/** Makes a collector for the value of a name, which errors mention. */
export type CollectorFactory<Result> = (value: string, tools: CollectorTools) => Collector<Result>;

/** Throws `E_DTYPE` for other types. */
export function floatsOf(value: string, tensor: DenseTensor): Float32Array {
  if (tensor.dtype !== 'float32') throw new PenjingError('E_DTYPE', `${value} is ${tensor.dtype}; calibration wants float32`, { hint: 'Calibrate the float32 model, and cast it afterwards.' });
  return tensor.data as Float32Array;
}

/** The last dimension, the same every time. Throws `E_SHAPE`. */
export function channelsOf(value: string, { shape }: DenseTensor, before: number | undefined): number {
  return sameChannels(value, shape.at(-1) ?? 1, before);
}

/** Throws `E_SHAPE`. */
export function sameChannels(value: string, channels: number, before: number | undefined): number {
  if (before !== undefined && before !== channels) throw new PenjingError('E_SHAPE', `${value} had ${before} channels, now ${channels}`);
  return channels;
}
