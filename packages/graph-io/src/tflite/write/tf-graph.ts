/** A TFLite graph while it is made: tensors and operators as linked objects; indices are given when it is encoded. */
import { type Dim, type DType, elementCount, type Tensor } from '@penjing/core';
import type { BuiltinOperator } from '../operators-schema.js';
import type { BuiltinOptionsInit } from '../schema.js';

/** value = scale * (code - zeroPoint); one pair, or one per slice of `axis`. */
export interface Quantization {
  readonly scale: readonly number[];
  readonly zeroPoint: readonly number[];
  readonly axis: number;
}

export interface TfTensor {
  name: string;
  readonly dtype: DType;
  /** As it lies in memory; a text is a size that is known only when the model runs. */
  readonly shape: readonly Dim[];
  /** Known content: a weight or a parameter. */
  readonly content?: Tensor;
  readonly quantization?: Quantization;
}

export interface TfOperator {
  type: BuiltinOperator;
  /** null is an omitted optional input. */
  inputs: (TfTensor | null)[];
  outputs: TfTensor[];
  options?: BuiltinOptionsInit;
  /** The condition and the body of a WHILE. */
  readonly subgraphs?: readonly TfGraph[];
  /** The ONNX node it comes from, for messages. */
  readonly from: string;
}

export interface TfGraph {
  inputs: { readonly name: string; readonly tensor: TfTensor }[];
  outputs: { readonly name: string; tensor: TfTensor }[];
  /** In execution order. */
  operators: TfOperator[];
}

/** A graph and those inside it, each before what is inside. */
export function allGraphs(graph: TfGraph): TfGraph[] {
  return [graph, ...graph.operators.flatMap(({ subgraphs = [] }) => subgraphs.flatMap(allGraphs))];
}

/** All sizes of a shape; undefined when one is not fixed. */
export function fixedShape(shape: readonly Dim[]): number[] | undefined {
  return shape.every((dim) => typeof dim === 'number') ? ([...shape] as number[]) : undefined;
}

/** Elements, with sizes that are not fixed counted once. */
export function knownCount(shape: readonly Dim[]): number {
  return elementCount(shape.map((dim) => (typeof dim === 'number' ? dim : 1)));
}

/** Consumers of every tensor, graph outputs not counted. */
export function consumers(graph: TfGraph): Map<TfTensor, TfOperator[]> {
  const found = new Map<TfTensor, TfOperator[]>();
  for (const operator of graph.operators) {
    for (const input of new Set(operator.inputs)) {
      if (!input) continue;
      const list = found.get(input);
      if (list) list.push(operator);
      else found.set(input, [operator]);
    }
  }
  return found;
}
