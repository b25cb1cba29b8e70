/** Attribute values of a node. Integers are bigint, strings are bytes: both exactly as ONNX stores them. */
import type { Tensor } from '../tensor.js';
import type { Graph } from './graph.js';
import type { ValueType } from './value-type.js';

/** AttributeProto.AttributeType by our name. */
export const attributeTypes = {
  float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8, tensors: 9, graphs: 10,
  sparseTensor: 11, sparseTensors: 12, type: 13, types: 14,
} as const;

export type AttributeKind = keyof typeof attributeTypes;

export interface AttributeValues {
  float: number;
  int: bigint;
  string: Uint8Array;
  tensor: Tensor;
  graph: Graph;
  floats: readonly number[];
  ints: readonly bigint[];
  strings: readonly Uint8Array[];
  tensors: readonly Tensor[];
  graphs: readonly Graph[];
  sparseTensor: Tensor;
  sparseTensors: readonly Tensor[];
  type: ValueType;
  types: readonly ValueType[];
}

type PlainAttribute = { [K in AttributeKind]: { readonly kind: K; readonly value: AttributeValues[K] } }[AttributeKind];

/** Inside a function body: the value is the attribute `name` of the calling node. */
export interface AttributeReference {
  readonly kind: 'ref';
  readonly name: string;
  readonly of: AttributeKind;
}

export type Attribute = (PlainAttribute | AttributeReference) & {
  readonly doc?: string;
  /** Fields this version does not know, carried byte for byte. */
  readonly extra?: Uint8Array;
};

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

export const encodeText = (text: string): Uint8Array => encoder.encode(text);
export const decodeText = (bytes: Uint8Array): string => decoder.decode(bytes);

/** What the builder accepts for an attribute: integers and integer lists become ints, other numbers floats. */
export type AttributeInput = Attribute | number | bigint | string | readonly number[] | readonly bigint[] | readonly string[];

/** Short constructors, one per kind. */
export const attribute = {
  float: (value: number): Attribute => ({ kind: 'float', value }),
  int: (value: number | bigint): Attribute => ({ kind: 'int', value: BigInt(value) }),
  string: (value: string): Attribute => ({ kind: 'string', value: encodeText(value) }),
  tensor: (value: Tensor): Attribute => ({ kind: 'tensor', value }),
  graph: (value: Graph): Attribute => ({ kind: 'graph', value }),
  floats: (value: readonly number[]): Attribute => ({ kind: 'floats', value }),
  ints: (value: readonly (number | bigint)[]): Attribute => ({ kind: 'ints', value: value.map(BigInt) }),
  strings: (value: readonly string[]): Attribute => ({ kind: 'strings', value: value.map(encodeText) }),
  type: (value: ValueType): Attribute => ({ kind: 'type', value }),
};

/** The graphs that an attribute holds. */
export function attributeGraphs(attr: Attribute): readonly Graph[] {
  if (attr.kind === 'graph') return [attr.value];
  return attr.kind === 'graphs' ? attr.value : [];
}
