/** What a rule of an operator is, and what it works with. */
import type { Node, Value } from '@penjing/core';
import type { Dimensions } from './dimensions.js';

export interface CoupleContext {
  readonly dims: Dimensions;
  /** A small constant of whole numbers. */
  readonly ints: (value: Value | null | undefined) => readonly number[] | undefined;
}

export interface EditContext {
  readonly ints: CoupleContext['ints'];
  /** Which indices of a dimension stay; undefined when all do. */
  readonly kept: (value: Value, axis: number) => readonly number[] | undefined;
  /** Its size before. */
  readonly sizeBefore: (value: Value, axis: number) => number | undefined;
  /** A constant of int64, of its own for this node. */
  readonly constant: (values: readonly number[]) => Value;
}

export interface DimensionRule {
  /** Says which dimensions go together, and which cannot change. */
  readonly couple: (node: Node, context: CoupleContext) => void;
  /** Corrects attributes and constants of sizes; weights have been cut already. */
  readonly edit?: (node: Node, context: EditContext) => void;
}

/** Axis counted from the front. */
export function fromFront(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** The same axes, one by one. */
export function uniteAxes(node: Node, dims: Dimensions, a: Value, b: Value, pairs: Iterable<readonly [number, number]>): void {
  for (const [i, j] of pairs) dims.unite({ value: a, axis: i }, { value: b, axis: j }, node);
}

export function range(count: number): number[] {
  return Array.from({ length: Math.max(0, count) }, (_, i) => i);
}
