/** What a shape rule sees of a node, and the short forms in which rules are written. */
import type { DType } from '../dtype.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import { type ValueType, tensorType } from '../graph/value-type.js';
import type { Dim } from '../shape.js';
import { broadcastAll } from './dims.js';

export type Dims = readonly Dim[];

/** What is known of a value: its type and, for small integer tensors, its elements in row-major order. */
export interface Known {
  readonly type: ValueType | undefined;
  readonly values?: Dims | undefined;
}

/** A node during inference; indices count inputs. */
export interface InferContext {
  readonly node: Node;
  readonly opset: number;
  readonly inputCount: number;
  readonly outputCount: number;
  has(index: number): boolean;
  known(index: number): Known | undefined;
  type(index: number): ValueType | undefined;
  dtype(index: number): DType | undefined;
  shape(index: number): Dims | undefined;
  /** Elements of a small tensor whose content is known, at least in part. */
  values(index: number): Dims | undefined;
  /** Elements that are all plain numbers. */
  numbers(index: number): readonly number[] | undefined;
  /** Infers a subgraph whose inputs are as given; gives what is known of its outputs. */
  subgraph(graph: Graph, inputs: readonly (Known | undefined)[]): (Known | undefined)[];
  /** Only what holds for every feed may be said; otherwise what holds for sensible ones. */
  readonly strict: boolean;
  /** Reports something that does not fit together. */
  gap(message: string): void;
}

/** Outputs in order; undefined where nothing can be said. */
export type InferRule = (context: InferContext) => readonly (Known | undefined)[];

export function tensor(dtype?: DType  , shape?: Dims  , values?: Dims  ): Known {
  return { type: tensorType(dtype, shape), ...(values === undefined ? {} : { values }) };
}

/** `count` unknown dimensions. */
export function unknown(count: number): Dim[] {
  return new Array<Dim>(count).fill(null);
}

/** Axis in [0, rank), or undefined when it lies outside. */
export function axisIn(axis: number, rank: number): number | undefined {
  const at = axis < 0 ? axis + rank : axis;
  return at >= 0 && at < rank ? at : undefined;
}

/** Output 0 is like input 0, elements included. */
export const sameAsInput: InferRule = (c) => [c.known(0)];

/** Output 0 has the type of input 0, other elements. */
export const likeInput: InferRule = (c) => [{ type: c.type(0) }];

/** Output 0 has the shape of input 0 and a fixed dtype. */
export const likeInputAs = (dtype: DType): InferRule => (c) => [tensor(dtype, c.shape(0))];

/** All inputs broadcast to output 0, of the dtype of input `from` or a fixed one. */
export function broadcast(c: InferContext, dtype: DType | undefined, values?: Dims): Known {
  const shapes = Array.from({ length: c.inputCount }, (_, i) => c.shape(i));
  const shape = broadcastAll(shapes);
  if (!shape && shapes.every((dims) => dims !== undefined)) c.gap('the inputs do not broadcast');
  return tensor(dtype, shape, values);
}

/** Copy of a shape with one dimension replaced. */
export function withDim(shape: Dims, axis: number, dim: Dim): Dim[] {
  const out = [...shape];
  out[axis] = dim;
  return out;
}
