/** Scales and shifts of channels as exact small vectors, and their multiplication into weights. */
import { DenseTensor, type Tensor } from '../tensor.js';
import type { Shape } from '../shape.js';
import type { Value } from '../graph/value.js';
import { lazy } from '../lazy-ops.js';
import { numbersOf } from './constant-of.js';
import type { Rewriter } from './rewriter.js';

/** y = x·scale + shift for every channel, in double precision until it is stored. */
export interface ChannelAffine {
  readonly scale: readonly number[];
  readonly shift: readonly number[];
}

/** Weights are computed in float32, so only float32 models are folded: half precision would round twice. */
export function isFloat32(...tensors: readonly (Tensor | undefined)[]): boolean {
  return tensors.every((tensor) => tensor === undefined || tensor.dtype === 'float32');
}

/** The elements of a float32 constant in memory. */
export function float32Of(value: Value | null | undefined, c: Rewriter): number[] | undefined {
  const tensor = c.constant(value);
  return tensor?.dtype === 'float32' ? numbersOf(tensor) : undefined;
}

export function float32Tensor(shape: Shape, values: readonly number[]): DenseTensor {
  return DenseTensor.of('float32', shape, Float32Array.from(values));
}

/**
 * The operand of an element-wise operator as one number per channel of a tensor of `rank` dimensions whose axis `axis` has
 * `channels` sizes. Undefined when it varies along any other axis, or would add one.
 */
export function perChannel(value: Value | null | undefined, rank: number, axis: number, channels: number, c: Rewriter): number[] | undefined {
  const tensor = c.constant(value);
  const numbers = float32Of(value, c);
  if (!tensor || !numbers || tensor.shape.length > rank) return undefined;
  if (numbers.length === 1) return new Array<number>(channels).fill(numbers[0]!);
  const at = axis - (rank - tensor.shape.length);
  return tensor.shape.every((size, i) => size === (i === at ? channels : 1)) && at >= 0 ? numbers : undefined;
}

/** `weight` times a factor per index of `axis`; large weights stay on disk. */
export function scaleWeight(weight: Tensor, axis: number, factor: readonly number[]): Tensor {
  if (factor.every((x) => x === 1)) return weight;
  const shape = weight.shape.map((_, i) => (i === axis ? factor.length : 1));
  return lazy.multiply(weight, float32Tensor(shape, factor));
}

/** Finite after rounding: a scale that overflows is not folded. */
export function isFinite32(values: readonly number[]): boolean {
  return values.every((value) => Number.isFinite(Math.fround(value)));
}

/** BatchNormalization at inference as scale and shift; undefined when a parameter is computed. */
export function batchNorm(parameters: readonly (Value | null | undefined)[], epsilon: number, channels: number, c: Rewriter): ChannelAffine | undefined {
  const [gamma, beta, mean, variance] = parameters.map((value) => float32Of(value, c));
  if (!gamma || !beta || !mean || !variance || [gamma, beta, mean, variance].some((list) => list.length !== channels)) return undefined;
  const scale = gamma.map((g, i) => g / Math.sqrt(variance[i]! + epsilon));
  return { scale, shift: beta.map((b, i) => b - mean[i]! * scale[i]!) };
}

