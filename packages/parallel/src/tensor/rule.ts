/** What a sharding rule sees of a node, what it says, and the short forms in which rules are written. */
import type { AttributeInput, Dim, DType, Node, OpName, Shape, Value } from '@penjing/core';

/**
 * Where a dimension that is shared out lies in an input or output. Its axis follows the dimension from end to end, in proportion,
 * unless it is only some of it: then it has `span` of the dimension's elements from each of `offsets` on.
 */
export interface Slot {
  readonly axis: number;
  /** Elements of the axis. */
  readonly size: number;
  readonly offsets?: readonly number[];
  readonly span?: number;
  /** A constant is cut in this shape, and then flattened again. */
  readonly view?: Shape;
}

/** `partial`: shards have terms of a sum. null: every shard has all of it. */
export type Place = Slot | 'partial' | null;

/** The part of one shard. */
export interface Share {
  readonly shard: number;
  readonly shards: number;
  /** Of a count that is shared out, what falls to this shard; `before` is what falls to those before it. */
  readonly of: (count: number) => number;
  readonly before: (count: number) => number;
}

/** Makes nodes for one shard. */
export interface LocalBuilder {
  op(opType: string, inputs: readonly (Value | null | undefined)[], attributes?: Readonly<Record<string, AttributeInput>>, domain?: string): Value;
  /** A scalar when `values` is a number. Zeros may be of any type. */
  constant(dtype: DType, values: readonly number[] | number): Value;
}

/** A node as one shard runs it. */
export interface LocalNode extends Share {
  readonly build: LocalBuilder;
  /** Inputs of the shard. */
  readonly inputs: readonly (Value | null)[];
  /** The same node on other inputs and with other attributes, undefined ones left out; gives its outputs. */
  copy(changes?: { readonly inputs?: readonly (Value | null)[]; readonly attributes?: Readonly<Record<string, AttributeInput | undefined>> }): readonly Value[];
}

/** A dimension along which the work of an operator can be shared out. */
export interface Way {
  readonly inputs: readonly Place[];
  readonly outputs: readonly Place[];
  /** Elements of the dimension; of its first slot when absent. */
  readonly size?: number;
  /** Places in the dimension that parts begin at, each of which is shared out by itself, where no slot says so. */
  readonly borders?: readonly number[];
  /** It comes in this many pieces that must stay whole: heads, blocks. */
  readonly units?: number;
  /** The input whose cutting is worth something by itself: a weight. Other ways only go on where an input is cut already. */
  readonly weight?: number;
  /** Attributes that depend on the share. */
  readonly attributes?: (share: Share) => Readonly<Record<string, AttributeInput>>;
  /** Inputs that count once though all shards take them: biases beside a partial sum. Shards but the first get zeros. */
  readonly once?: readonly number[];
  /** Makes something else than the same node. */
  readonly local?: (node: LocalNode) => readonly Value[];
}

export type Dims = readonly Dim[];

/** A node, and what is known of it; indices count inputs. */
export interface ShardingContext {
  readonly node: Node;
  readonly opset: number;
  readonly shards: number;
  readonly inputCount: number;
  readonly outputCount: number;
  has(index: number): boolean;
  dtype(index: number): DType | undefined;
  shape(index: number): Dims | undefined;
  outputShape(index?: number): Dims | undefined;
  /** The input follows from weights and constants. */
  constant(index: number): boolean;
  /** Elements of a small tensor that do not depend on a run. */
  numbers(index: number): readonly number[] | undefined;
  /** Consumers take the output apart along this axis: Split, Slice or Gather of single places. */
  takenApart(axis: number): boolean;
}

export type ShardingRule = (context: ShardingContext) => readonly Way[];
export type ShardingRules = { readonly [Op in OpName]?: ShardingRule };

/** The whole of an axis; undefined when its size is not known or leaves nothing to share out. */
export function slot(shape: Dims | undefined, axis: number): Slot | undefined {
  const at = axis < 0 ? axis + (shape?.length ?? 0) : axis;
  const size = shape?.[at];
  return typeof size === 'number' && size > 1 ? { axis: at, size } : undefined;
}

/** A way if all its slots are there. */
export function way(inputs: readonly (Place | undefined)[], outputs: readonly (Place | undefined)[], more: Omit<Way, 'inputs' | 'outputs'> = {}): Way[] {
  if ([...inputs, ...outputs].includes(undefined)) return [];
  return [{ inputs: inputs as Place[], outputs: outputs as Place[], ...more }];
}

/** `count` times null, with some places set. */
export function places(count: number, set: Readonly<Record<number, Place | undefined>>): (Place | undefined)[] {
  return Array.from({ length: count }, (_, i) => (i in set ? set[i] : null));
}

/** The axis of an input that broadcasts to axis `at` of a result of `rank`: null when every shard needs all of it there. */
export function broadcastPlace(shape: Dims | undefined, rank: number, at: number, size: number): Place | undefined {
  if (!shape) return undefined;
  const axis = at - (rank - shape.length);
  if (axis < 0 || shape[axis] === 1) return null;
  return shape[axis] === size ? { axis, size } : undefined;
}

/** Every axis of an output that all inputs broadcast to. */
export function broadcastWays(c: ShardingContext, inputs: readonly number[], more: Omit<Way, 'inputs' | 'outputs'> = {}): Way[] {
  const out = c.outputShape();
  if (!out) return [];
  return out.flatMap((size, axis) => {
    if (typeof size !== 'number' || size <= 1) return [];
    const set = Object.fromEntries(inputs.filter((i) => c.has(i)).map((i) => [i, broadcastPlace(c.shape(i), out.length, axis, size)]));
    return way(places(c.inputCount, set), [{ axis, size }], more);
  });
}

/** Axes but some of input 0, which outputs keep as they are. */
export function keptAxes(c: ShardingContext, not: readonly number[] = [], outputs = c.outputCount): Way[] {
  const shape = c.shape(0);
  const without = new Set(not.map((axis) => (axis < 0 ? axis + (shape?.length ?? 0) : axis)));
  return (shape ?? []).flatMap((_, axis) => {
    const place = without.has(axis) ? undefined : slot(shape, axis);
    return way(places(c.inputCount, { 0: place }), Array.from({ length: c.outputCount }, (_, i) => (i < outputs ? place : null)));
  });
}

/** Partial sums at some inputs stay partial sums. */
export function linear(c: ShardingContext, ...inputs: readonly number[]): Way {
  return { inputs: places(c.inputCount, Object.fromEntries(inputs.map((i) => [i, 'partial']))) as Place[], outputs: ['partial'] };
}
