/** A model cut for tensor parallelism: the segments of every shard, and the one program that all shards run. */
import type { DType, Model, ValueType } from '@penjing/core';

/** Elements [start, end) of an axis. */
export type Range = readonly [start: number, end: number];

/** How an axis is shared out: by shard, the ranges that it holds, one after the other. */
export interface AxisCut {
  readonly axis: number;
  readonly ranges: readonly (readonly Range[])[];
}

/** An input or an output of the whole model. */
export interface ShardedPort {
  readonly name: string;
  readonly type: ValueType;
  /** Its name in the segments. */
  readonly value: string;
  /** Every shard takes or gives a part of it; when absent, all of it. */
  readonly cut?: AxisCut;
}

/** A value between shards. */
export interface Traffic {
  /** Name in the segments: what each shard puts in, and what each gets back. */
  readonly from: string;
  readonly to: string;
  readonly dtype: DType;
  /** Of the result; null where a run decides. */
  readonly shape: readonly (number | string | null)[] | undefined;
}

/** The part of a value that every shard has, put together. */
export interface Gathered extends Traffic {
  readonly cut: AxisCut;
}

/** One step that all shards take together. */
export type TensorStep =
  /** Runs segment `segment` of the shard on the values that it has so far. */
  | { readonly kind: 'run'; readonly segment: number }
  /** Adds up the values of all shards, in the order of the shards; all get the sum. */
  | { readonly kind: 'reduce'; readonly values: readonly Traffic[] }
  /** All get the whole values. */
  | { readonly kind: 'gather'; readonly values: readonly Gathered[] };

/** What is cut, and what that saves. */
export interface ShardedLayer {
  /** Names of the weights that are cut. */
  readonly weights: readonly string[];
  /** Bytes of them in the whole model. */
  readonly bytes: number;
  /** Values that cross between shards because of it in one run. */
  readonly collectives: number;
}

export interface ShardedModel {
  readonly shards: number;
  readonly inputs: readonly ShardedPort[];
  readonly outputs: readonly ShardedPort[];
  readonly program: readonly TensorStep[];
  /** By shard, then by segment. Inputs of a segment are values of earlier steps, under the same names. */
  readonly segments: readonly (readonly Model[])[];
  readonly layers: readonly ShardedLayer[];
}
