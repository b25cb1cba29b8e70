/** Where the channels of a picture stand: TFLite keeps them last, the operators of ONNX want them second. */
import { lazy, type Tensor } from '@penjing/core';

/** Axis `a` of NHWC is axis `FIRST[a]` of NCHW. */
const FIRST = [0, 2, 3, 1] as const;

export const TO_FIRST = [0, 3, 1, 2] as const;
export const TO_LAST = [0, 2, 3, 1] as const;

/** An axis of a channels-last picture after its channels were moved to the front. */
export function firstAxis(axis: number): number {
  return FIRST[axis]!;
}

/** One entry per axis, in the order of the moved picture. */
export function permuted<T>(perAxis: readonly T[]): T[] {
  return TO_FIRST.map((axis) => perAxis[axis]!);
}

/** A constant that broadcasts against channels-last pictures, made to broadcast against channels-first ones. */
export function constantFirst(tensor: Tensor): Tensor | undefined {
  const { shape } = tensor;
  if (shape.every((dim) => dim === 1)) return lazy.reshape(tensor, []);
  if (shape.length === 1) return lazy.reshape(tensor, [shape[0]!, 1, 1]);
  if (shape.length === 4) return lazy.transpose(tensor, TO_FIRST);
  return shape.length === 3 ? lazy.transpose(tensor, [2, 0, 1]) : undefined;
}
