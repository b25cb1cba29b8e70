/** Parts of stored tensors: nothing is read or copied before a model is saved or loaded. */
import { lazy, type Shape, type Tensor } from '@penjing/core';
import type { Range } from './sharded-model.js';

/** Ranges of one axis side by side. Given a `view`, the tensor is cut in that shape, and flat again if it was flat. */
export function cutConstant(tensor: Tensor, axis: number, ranges: readonly Range[], view?: Shape): Tensor {
  const seen = view ? lazy.reshape(tensor, view) : tensor;
  const parts = ranges.map(([from, to]) => lazy.slice(seen, seen.shape.map((_, i) => (i === axis ? from : 0)), seen.shape.map((size, i) => (i === axis ? to - from : size))));
  const joined = parts.length === 1 ? parts[0]! : lazy.concat(parts, axis);
  if (!view || tensor.shape.length === view.length) return joined;
  return lazy.reshape(joined, tensor.shape.length === 1 ? [joined.shape.reduce((count, size) => count * size, 1)] : joined.shape);
}

export function zerosLike({ dtype, shape }: Tensor): Tensor {
  return lazy.fill(dtype, shape, 0);
}
