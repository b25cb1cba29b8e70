/** GraphProto to Graph: names become references. Inner graphs see the names of outer ones; order does not matter. */
import {
  type Attribute, type AttributeKind, Graph, Node, PenjingError, type SparseTensor, type Tensor, Value, type ValueType,
} from '@penjing/core';
import { readAttribute } from './attributes.js';
import { encodeBytes } from './encode.js';
import { labelOf, setListed } from './labels.js';
import { sortNodes } from './sort-nodes.js';
import {
  type AttributeProto, type EntryProto, type FunctionProto, type GraphProto, graphSchema, type NodeProto,
  type SparseTensorProto, type TensorProto, type TypeProto, type ValueInfoProto,
} from './schema.js';
import { readType } from './value-types.js';

export type ReadTensors = ReadonlyMap<TensorProto | SparseTensorProto, Tensor>;

/** The names of a graph and, behind them, those of the graphs around it. */
class Scope {
  readonly #values = new Map<string, Value>();

  constructor(readonly graph: string, readonly outer?: Scope) {}

  own(name: string): Value | undefined {
    return this.#values.get(name);
  }

  find(name: string): Value | undefined {
    return this.#values.get(name) ?? this.outer?.find(name);
  }

  define(value: Value): Value {
    if (this.#values.has(value.name)) throw this.fail(`'${value.name}' is defined twice`);
    this.#values.set(value.name, value);
    return value;
  }

  fail(what: string): PenjingError {
    return new PenjingError('E_ONNX_GRAPH', `graph '${this.graph}': ${what}`, { details: { graph: this.graph } });
  }
}

export function readGraph(proto: GraphProto, tensors: ReadTensors, outer?: Scope): Graph {
  const graph = new Graph(proto.name ?? '');
  const scope = new Scope(graph.name, outer);
  graph.doc = proto.doc ?? '';
  readEntries(proto.metadata, graph.metadata);
  for (const input of proto.input ?? []) graph.inputs.push(scope.define(readValue(input)));
  for (const dense of proto.initializer ?? []) initialize(graph, scope, dense.name ?? '', tensors.get(dense)!);
  for (const sparse of proto.sparseInitializer ?? []) initialize(graph, scope, sparse.values?.name ?? '', tensors.get(sparse)!);
  const outputs = defineOutputs(proto.node, scope);
  const unknown = describeValues(proto.valueInfo, scope);
  appendNodes(graph, (proto.node ?? []).map((node, i) => readNode(node, outputs[i]!, scope, tensors)), scope);
  for (const output of proto.output ?? []) graph.outputs.push(readOutput(output, scope));
  graph.extra = joinExtra(unknown.length > 0 ? [encodeBytes(graphSchema, { valueInfo: unknown })] : [], proto.extra);
  return graph;
}

/** The body of a model-local function as a graph. */
export function readFunctionBody(proto: FunctionProto, tensors: ReadTensors): Graph {
  const graph = new Graph(proto.name ?? '');
  const scope = new Scope(`function ${graph.name}`);
  graph.doc = proto.doc ?? '';
  readEntries(proto.metadata, graph.metadata);
  for (const name of proto.input ?? []) graph.inputs.push(scope.define(new Value(name)));
  const outputs = defineOutputs(proto.node, scope);
  describeValues(proto.valueInfo, scope);
  appendNodes(graph, (proto.node ?? []).map((node, i) => readNode(node, outputs[i]!, scope, tensors)), scope);
  for (const name of proto.output ?? []) graph.outputs.push(readOutput({ name }, scope));
  return graph;
}

/** Attribute defaults of a function: they stand outside of any graph. */
export function readOuterAttribute(proto: AttributeProto, where: string, tensors: ReadTensors): Attribute {
  return readAttribute(proto, where, attributeParts(new Scope(where), tensors));
}

export function readEntries(entries: readonly EntryProto[] | undefined, into: Map<string, string>): void {
  for (const { key, value } of entries ?? []) into.set(key ?? '', value ?? '');
}

export function joinExtra(first: readonly Uint8Array[] | undefined, second?: readonly Uint8Array[]): Uint8Array | undefined {
  const parts = [...(first ?? []), ...(second ?? [])];
  if (parts.length === 0) return undefined;
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function readValue(proto: ValueInfoProto): Value {
  return describe(new Value(proto.name ?? ''), proto);
}

function describe(value: Value, proto: ValueInfoProto): Value {
  if (proto.type) value.type = readType(proto.type);
  if (proto.doc) value.doc = proto.doc;
  readEntries(proto.metadata, value.metadata);
  if (proto.extra) value.extra = joinExtra(proto.extra);
  return value;
}

/** An input with content has a default; a name that comes twice keeps the last content, as in ONNX Runtime. */
function initialize(graph: Graph, scope: Scope, name: string, tensor: Tensor): void {
  const known = scope.own(name);
  if (known) {
    known.tensor = tensor;
    if (known.type === undefined || !graph.inputs.includes(known)) known.type = typeOf(tensor);
    graph.initializers.set(name, known);
    return;
  }
  const value = scope.define(graph.addInitializer(name, tensor));
  const { doc, metadata } = labelOf(tensor.kind === 'sparse' ? (tensor as SparseTensor).values : tensor);
  if (doc) value.doc = doc;
  readEntries(metadata, value.metadata);
}

const typeOf = (tensor: Tensor): ValueType => ({ kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape });

/** Every output first: a node may read what a later one computes. */
function defineOutputs(nodes: readonly NodeProto[] = [], scope: Scope): Value[][] {
  return nodes.map((node) =>
    (node.output ?? []).map((name) => (name === '' ? new Value('') : scope.define(new Value(name)))));
}

function appendNodes(graph: Graph, nodes: readonly Node[], scope: Scope): void {
  const sorted = sortNodes(nodes);
  if ('cycle' in sorted) throw scope.fail(`${sorted.cycle.describe()} depends on itself`);
  for (const node of sorted) graph.append(node);
}

/** Gives values of this graph their types; returns what is said about names that it does not define. */
function describeValues(infos: readonly ValueInfoProto[] = [], scope: Scope): ValueInfoProto[] {
  const unknown: ValueInfoProto[] = [];
  for (const [place, info] of infos.entries()) {
    const value = scope.own(info.name ?? '');
    if (value) setListed(describe(value, info), place);
    else unknown.push(info);
  }
  return unknown;
}

function readOutput(proto: ValueInfoProto, scope: Scope): Value {
  const name = proto.name ?? '';
  const value = scope.find(name);
  if (!value) throw scope.fail(`output '${name}' is not computed`);
  // An input or weight that is handed on, and a value of an outer graph, are described elsewhere: that stands.
  const described = value.type !== undefined && (value.producer === undefined || scope.own(name) === undefined);
  return described ? value : describe(value, proto);
}

function readNode(proto: NodeProto, outputs: readonly Value[], scope: Scope, tensors: ReadTensors): Node {
  const label = `${proto.opType ?? ''} '${proto.name || outputs[0]?.name || ''}'`;
  const inputs = (proto.input ?? []).map((name) => {
    if (name === '') return null;
    const value = scope.find(name);
    if (!value) throw scope.fail(`${label} reads '${name}', which is not defined`);
    return value;
  });
  const parts = attributeParts(scope, tensors);
  const attributes = (proto.attribute ?? []).map((attr) => [attr.name ?? '', readAttribute(attr, label, parts)] as const);
  const node = new Node(proto.opType ?? '', inputs, outputs, {
    domain: proto.domain ?? '', overload: proto.overload ?? '', name: proto.name ?? '', attributes,
  });
  node.doc = proto.doc ?? '';
  readEntries(proto.metadata, node.metadata);
  node.extra = joinExtra(proto.extra);
  return node;
}

function attributeParts(scope: Scope, tensors: ReadTensors): { convert(kind: AttributeKind, value: unknown): unknown } {
  const converters: Partial<Record<AttributeKind, (value: never) => unknown>> = {
    tensor: (proto: TensorProto) => tensors.get(proto)!,
    sparseTensor: (proto: SparseTensorProto) => tensors.get(proto)!,
    graph: (proto: GraphProto) => readGraph(proto, tensors, scope),
    type: (proto: TypeProto) => readType(proto),
  };
  return { convert: (kind, value) => converters[kind]?.(value as never) ?? value };
}
