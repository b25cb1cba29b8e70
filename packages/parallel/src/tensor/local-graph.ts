/** What shards run, before it is cut into segments: values in the forms that shards have them, and the nodes that make them. */
import type { AttributeInput, DType, Node, Tensor, Value } from '@penjing/core';
import type { LocalBuilder, LocalNode, Share } from './rule.js';
import type { AxisCut } from './sharded-model.js';

/** A value as shards have it. */
export interface LocalValue {
  readonly name: string;
  readonly dtype: DType | undefined;
  readonly rank: number | undefined;
  /** Collectives that come before it. */
  readonly level: number;
  /** A weight or constant, one for all shards or one each. */
  readonly tensors?: Tensor | readonly Tensor[];
  /** What makes it; set by the step. */
  step?: LocalStep;
  readonly collective?: LocalCollective;
}

/** Nodes that make values. */
export interface LocalStep {
  readonly level: number;
  readonly inputs: readonly LocalValue[];
  readonly outputs: LocalValue[];
  /** What follows from constants, and sequences: computed in every segment that needs it, never handed on. */
  readonly floating: boolean;
  /** Only this shard has it. */
  readonly only?: number;
  /** Gives the outputs, in order. */
  build(target: SegmentTarget): readonly (Value | undefined)[];
}

/** A segment that is being built. */
export interface SegmentTarget extends LocalBuilder {
  readonly shard: number;
  value(local: LocalValue): Value;
  /** A node with these attributes beside or instead of its own. */
  copy(node: Node, inputs: readonly (Value | null)[], changes?: Readonly<Record<string, AttributeInput | undefined>>, captured?: ReadonlyMap<Value, Value>): readonly Value[];
}

export interface LocalCollective {
  readonly kind: 'reduce' | 'gather';
  readonly from: LocalValue;
  readonly cut?: AxisCut;
  readonly shape: readonly (number | string | null)[] | undefined;
}

/** The forms in which shards have a value of the model. */
export interface Forms {
  full?: LocalValue;
  part?: LocalValue;
  /** By the key of the axis. */
  readonly cuts: Map<string, { readonly value: LocalValue; readonly cut: AxisCut }>;
}

/** What a rule sees of a node on one shard. */
export function localNode(target: SegmentTarget, node: Node, inputs: readonly (Value | null)[], share: Share): LocalNode {
  return {
    ...share,
    build: target,
    inputs,
    copy: ({ inputs: other = inputs, attributes = {} } = {}) => target.copy(node, other, attributes),
  };
}
