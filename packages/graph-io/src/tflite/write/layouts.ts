/** The two orders of axes: ONNX puts channels second (`first`), TFLite puts them last (`last`). */
import { type Dim, normalizeAxis } from '@penjing/core';

export type Layout = 'first' | 'last';

/** Ranks that have two orders: signals (N, C, W) and images (N, C, H, W). */
export const hasLayouts = (rank: number): boolean => rank === 3 || rank === 4;

/** Axis i of the channels-last order is axis toLast[i] of the other. */
export function toLast(rank: number): number[] {
  return [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];
}

/** The inverse of `toLast`. */
export function toFirst(rank: number): number[] {
  return [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];
}

/** Where the axes of ONNX's order lie in memory. */
export function permutationOf(rank: number, layout: Layout): number[] {
  return layout === 'last' && hasLayouts(rank) ? toLast(rank) : Array.from({ length: rank }, (_, i) => i);
}

export function permute<T>(list: readonly T[], perm: readonly number[]): T[] {
  return perm.map((axis) => list[axis]!);
}

/** Sizes as they lie in memory. */
export function physicalShape(shape: readonly Dim[], layout: Layout): Dim[] {
  return permute(shape, permutationOf(shape.length, layout));
}

/** An axis of ONNX's order, possibly negative, as it lies in memory. */
export function physicalAxis(axis: number, rank: number, layout: Layout): number {
  return permutationOf(rank, layout).indexOf(normalizeAxis(axis, rank));
}

/** True when a permutation moves no elements: it only moves axes of size 1. */
export function movesNothing(shape: readonly Dim[], perm: readonly number[]): boolean {
  const wide = perm.filter((axis) => shape[axis] !== 1);
  return wide.every((axis, i) => i === 0 || axis > wide[i - 1]!);
}
