/** How far one tensor is from another: signal-to-noise ratio and largest error, in float64. */
import { type DType, PenjingError, sameShape, typedView } from '@penjing/core';
import { plainKernels } from '@penjing/kernels';
import type { WireTensor } from '../worker/wire-types.js';

/** Sums from which ratios are made; small enough to cross threads and to be merged. */
export interface ErrorSums {
  signal: number;
  noise: number;
  maxError: number;
  elements: number;
  /** Elements that differ by NaN or infinity: in one tensor and not, or not the same, in the other. */
  nonFinite: number;
}

/** The difference of one output of two models. */
export interface OutputDifference extends Readonly<ErrorSums> {
  readonly name: string;
  readonly dtype: DType;
}

export function errorSums(): ErrorSums {
  return { signal: 0, noise: 0, maxError: 0, elements: 0, nonFinite: 0 };
}

/** Adds one pair of elements, `a` being the reference. */
export function addError(sums: ErrorSums, a: number, b: number): void {
  sums.elements++;
  if (Object.is(a, b)) {
    if (Number.isFinite(a)) sums.signal += a * a;
    return;
  }
  const error = Math.abs(a - b);
  if (!Number.isFinite(error)) {
    sums.nonFinite++;
    return;
  }
  sums.signal += a * a;
  sums.noise += error * error;
  if (error > sums.maxError) sums.maxError = error;
}

export function mergeErrors(into: ErrorSums, from: Readonly<ErrorSums>): void {
  into.signal += from.signal;
  into.noise += from.noise;
  into.maxError = Math.max(into.maxError, from.maxError);
  into.elements += from.elements;
  into.nonFinite += from.nonFinite;
}

/** 10·log₁₀(signal / noise); Infinity for equal tensors, -Infinity when any element went to NaN or infinity. */
export function snrDb({ signal, noise, nonFinite }: Readonly<ErrorSums>): number {
  if (nonFinite > 0) return -Infinity;
  return noise === 0 ? Infinity : 10 * Math.log10(signal / noise);
}

/** Compares two results for the same output; throws `E_SHAPE` when they are not the same kind of thing. */
export function difference(name: string, a: WireTensor, b: WireTensor): OutputDifference {
  if (!sameShape(a.shape, b.shape)) {
    throw new PenjingError('E_SHAPE', `output ${name} is [${a.shape.join(', ')}] in one model and [${b.shape.join(', ')}] in the other`, {
      hint: 'Compare models that do the same task on the same inputs.',
    });
  }
  const sums = errorSums();
  if (a.dtype === 'string' || b.dtype === 'string') {
    const [left, right] = [a.data as readonly string[], b.data as readonly string[]];
    for (let i = 0; i < left.length; i++) addError(sums, 1, left[i] === right[i] ? 1 : 0);
  } else {
    const [left, right] = [numbers(a), numbers(b)];
    const count = a.shape.reduce((product, dim) => product * dim, 1);
    for (let i = 0; i < count; i++) addError(sums, left(i), right(i));
  }
  return { name, dtype: a.dtype, ...sums };
}

/** Elements by their place, whatever they are stored as. */
export function numbers({ dtype, data }: WireTensor): (index: number) => number {
  const view = typedView(dtype, new Uint8Array(data as ArrayBuffer));
  if (dtype === 'float16') {
    const wide = new Float32Array(view.length);
    plainKernels().toFloat32('float16', view, wide);
    return (index) => wide[index]!;
  }
  return (index) => Number(view[index]);
}
