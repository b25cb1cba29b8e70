/** Graph to GraphProto: references become names. */
import {
  type Attribute, type AttributeKind, type Graph, type Node, sameShape, type SparseTensor, type Tensor, type Value, type ValueType,
} from '@penjing/core';
import { writeAttribute } from './attributes.js';
import { labelOf, listedAt } from './labels.js';
import type { AttributeProto, EntryProto, GraphProto, NodeProto, TensorProto, ValueInfoProto } from './schema.js';
import { writeType } from './value-types.js';
import { type ExternalPlaces, writeSparseTensor, writeTensor } from './write-tensor.js';

/** Optional texts are left out when empty, as protobuf writers do. */
export const text = <K extends string>(key: K, value: string): { [P in K]?: string } =>
  value === '' ? {} : ({ [key]: value } as { [P in K]: string });

export function writeGraph(graph: Graph, external: ExternalPlaces | undefined): GraphProto {
  const dense: TensorProto[] = [];
  const sparse: NonNullable<GraphProto['sparseInitializer']> = [];
  for (const [name, { tensor }] of graph.initializers) {
    if (!tensor) continue;
    if (tensor.kind === 'sparse') sparse.push(writeSparseTensor(tensor as SparseTensor, name));
    else dense.push(writeTensor(tensor, name, external));
  }
  const valueInfo = innerValues(graph).map(writeValue);
  return {
    ...(graph.nodeCount > 0 && { node: [...graph.nodes()].map((node) => writeNode(node, external)) }),
    ...text('name', graph.name),
    ...(dense.length > 0 && { initializer: dense }),
    ...text('doc', graph.doc),
    input: graph.inputs.map(writeValue),
    output: graph.outputs.map(writeValue),
    ...(valueInfo.length > 0 && { valueInfo }),
    ...(sparse.length > 0 && { sparseInitializer: sparse }),
    ...entriesOf(graph.metadata),
    ...(graph.extra && { extra: [graph.extra] }),
  };
}

export function writeNode(node: Node, external: ExternalPlaces | undefined): NodeProto {
  const attributes = [...node.attributes].map(([name, attr]) => writeNodeAttribute(name, attr, external));
  return {
    ...(node.inputs.length > 0 && { input: node.inputs.map((value) => value?.name ?? '') }),
    ...(node.outputs.length > 0 && { output: node.outputs.map((value) => value.name) }),
    ...text('name', node.name),
    ...text('opType', node.opType),
    ...(attributes.length > 0 && { attribute: attributes }),
    ...text('doc', node.doc),
    ...text('domain', node.domain),
    ...text('overload', node.overload),
    ...entriesOf(node.metadata),
    ...(node.extra && { extra: [node.extra] }),
  };
}

/** Tensors of attributes stay inside: runtimes read them before they know where the model stands. */
export function writeNodeAttribute(name: string, attr: Attribute, external: ExternalPlaces | undefined): AttributeProto {
  const converters: Partial<Record<AttributeKind, (value: never) => unknown>> = {
    tensor: (tensor: Tensor) => writeTensor(tensor, labelOf(tensor).name ?? '', undefined),
    sparseTensor: (tensor: SparseTensor) => writeSparseTensor(tensor, ''),
    graph: (graph: Graph) => writeGraph(graph, external),
    type: (type: ValueType) => writeType(type),
  };
  return writeAttribute(name, attr, { convert: (kind, value) => converters[kind]?.(value as never) ?? value });
}

export function entriesOf(metadata: ReadonlyMap<string, string>): { metadata?: EntryProto[] } {
  return metadata.size === 0 ? {} : { metadata: [...metadata].map(([key, value]) => ({ key, value })) };
}

export function writeValue(value: Value): ValueInfoProto {
  return {
    name: value.name,
    ...(value.type && { type: writeType(value.type) }),
    ...text('doc', value.doc),
    ...entriesOf(value.metadata),
    ...(value.extra && { extra: [value.extra] }),
  };
}

/** Values of a graph that are neither its inputs nor outputs and have something to say: listed ones first, as they were. */
export function innerValues(graph: Graph): Value[] {
  const shown = new Set<Value>([...graph.inputs, ...graph.outputs]);
  const inner: Value[] = [];
  for (const value of graph.initializers.values()) {
    if (!shown.has(value) && (listedAt(value) !== undefined || !saysNothingNew(value))) inner.push(value);
  }
  for (const node of graph.nodes()) {
    for (const value of node.outputs) {
      if (value.name !== '' && !shown.has(value) && isDescribed(value)) inner.push(value);
    }
  }
  return inner.sort((a, b) => (listedAt(a) ?? Infinity) - (listedAt(b) ?? Infinity) || 0);
}

const isDescribed = (value: Value): boolean =>
  value.type !== undefined || value.doc !== '' || value.metadata.size > 0 || value.extra !== undefined;

/** An initializer whose type is that of its tensor needs no entry; its texts are stored with the tensor. */
function saysNothingNew({ type, tensor, extra }: Value): boolean {
  if (extra !== undefined) return false;
  if (type === undefined || !tensor) return true;
  if (type.kind !== 'tensor' || type.dtype !== tensor.dtype || type.denotation || type.dimDenotations) return false;
  return type.shape !== undefined && type.shape.every((dim) => typeof dim === 'number') && sameShape(type.shape, tensor.shape);
}
