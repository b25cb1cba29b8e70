/** What sharding must know of a graph: sizes, constants, and what each node allows. */
import { type Attribute, capturedValues, cloneModel, type DType, GrowingInference, type Graph, type Model, type Node, type OpName, PenjingError, type Tensor, Value } from '@penjing/core';
import { upgradeOpset } from '@penjing/core/rewrite';
import { DRAWS } from '../split/cut-blocks.js';
import { type Dims, places, type ShardingContext, type Way } from './rule.js';
import { shardingRules } from './rules.js';

/** Operators whose inputs are looked up in `shardingRules` need this opset of ai.onnx; older models are raised. */
const OPSET = 15;

export interface GraphFacts {
  readonly model: Model;
  readonly nodes: readonly Node[];
  /** Place in `nodes`. */
  readonly order: ReadonlyMap<Node, number>;
  readonly shards: number;
  /** Values that follow from weights and constants alone. */
  readonly constant: ReadonlySet<Value>;
  /** By node: values that its subgraphs read, after its inputs. */
  captured(node: Node): readonly Value[];
  shape(value: Value): Dims | undefined;
  dtype(value: Value): DType | undefined;
  /** Elements of a small tensor that follow from constants and sizes alone. */
  numbers(value: Value): readonly number[] | undefined;
  ways(node: Node): readonly Way[];
}

/** A copy of the model is made, in which constants are initializers and types follow from the inputs alone. */
export function graphFacts(original: Model, shards: number): GraphFacts {
  const model = cloneModel(original);
  model.origin = undefined;
  if ((model.opset() ?? OPSET) < OPSET) upgradeOpset(model, OPSET);
  const { graph } = model;
  // a default that callers cannot feed through an engine either
  graph.inputs.splice(0, Infinity, ...graph.inputs.filter((value) => !value.tensor));
  liftConstants(graph);
  const nodes = [...graph.nodes()];
  const inference = new GrowingInference(model);
  for (const node of nodes) {
    for (const value of node.outputs) forgetShape(value, graph);
    inference.add(node);
  }
  const constant = constantValues(graph, nodes);
  const shape = (value: Value): Dims | undefined => (value.type?.kind === 'tensor' ? value.type.shape : undefined);
  const dtype = (value: Value): DType | undefined => (value.type?.kind === 'tensor' ? value.type.dtype : undefined);
  const numbers = (value: Value): readonly number[] | undefined => {
    const values = inference.values(value);
    return values?.every((element): element is number => typeof element === 'number') ? values : undefined;
  };
  const order = new Map(nodes.map((node, i) => [node, i]));
  const known = new Map<Node, readonly Way[]>();
  const captured = new Map(nodes.map((node) => [node, node.subgraphs().flatMap((inner) => [...capturedValues(inner)])]));

  const contextOf = (node: Node): ShardingContext => {
    const at = (index: number): Value | undefined => {
      const value = node.input(index);
      return value && value.name !== '' ? value : undefined;
    };
    return {
      node,
      shards,
      opset: model.opset() ?? OPSET,
      inputCount: node.inputs.length,
      outputCount: node.outputs.length,
      has: (index) => at(index) !== undefined,
      dtype: (index) => at(index) && dtype(at(index)!),
      shape: (index) => at(index) && shape(at(index)!),
      outputShape: (index = 0) => node.outputs[index] && shape(node.outputs[index]),
      constant: (index) => (at(index) && constant.has(at(index)!) ? true : false),
      numbers: (index) => at(index) && numbers(at(index)!),
      takenApart: (axis) => takenApart(node.output(), axis, shape),
    };
  };

  return {
    model, nodes, order, shards, constant, shape, dtype, numbers,
    captured: (node) => captured.get(node) ?? [],
    ways(node) {
      let ways = known.get(node);
      if (!ways) {
        const rule = node.subgraphs().length === 0 ? shardingRules[nameOf(node)] : undefined;
        // a rule looks at declared attributes only, which a reference inside a function body does not have
        ways = (rule?.(contextOf(node)) ?? []).filter((way) => way.inputs.length === node.inputs.length && (way.units ?? shards) >= shards).map((way) => ({ ...way, outputs: places(node.outputs.length, { ...way.outputs }) as Way['outputs'] }));
        known.set(node, ways);
      }
      return ways;
    },
  };
}

export const nameOf = (node: Node): OpName => (node.domain === '' ? node.opType : `${node.domain}.${node.opType}`) as OpName;

/** Constant nodes become initializers, which can be cut. */
function liftConstants(graph: Graph): void {
  for (const node of [...graph.nodes()]) {
    const tensor = node.opType === 'Constant' && node.domain === '' ? constantTensor(node.attributes.get('value')) : undefined;
    const output = node.outputs[0];
    if (!tensor || !output || graph.initializers.has(output.name)) continue;
    const value = new Value(output.name, undefined, tensor);
    graph.replaceValue(output, value);
    node.replaceOutput(0, new Value(''));
    graph.remove(node);
    graph.initializers.set(value.name, value);
  }
}

function constantTensor(value: Attribute | undefined): Tensor | undefined {
  return value?.kind === 'tensor' ? value.value : undefined;
}

/** What exporters declare of computed values is the shape they saw while tracing. */
function forgetShape(value: Value, graph: Graph): void {
  if (value.type?.kind !== 'tensor' || graph.outputs.includes(value)) return;
  value.type = value.type.dtype === undefined ? undefined : { kind: 'tensor', dtype: value.type.dtype };
}

function constantValues(graph: Graph, nodes: readonly Node[]): Set<Value> {
  const constant = new Set<Value>([...graph.initializers.values()]);
  for (const node of nodes) {
    if (DRAWS.has(node.opType)) {
      throw new PenjingError('E_UNSUPPORTED', `${node.describe()} draws numbers, and every shard would draw others`, { hint: 'Run this model on one device, or give the numbers as an input.' });
    }
    if (node.subgraphs().length > 0 || !node.inputs.every((value) => value === null || value.name === '' || constant.has(value))) continue;
    for (const value of node.outputs) constant.add(value);
  }
  return constant;
}

/** Through transpositions. */
function takenApart(value: Value, axis: number, shape: (value: Value) => Dims | undefined): boolean {
  return value.uses().some(({ node, index }) => {
    if (index !== 0 || node.domain !== '') return false;
    const rank = shape(value)?.length ?? 0;
    if (node.opType === 'Transpose') {
      const perm = node.ints('perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
      return takenApart(node.output(), perm.indexOf(axis), shape);
    }
    const cuts = node.opType === 'Split' || node.opType === 'Gather' ? node.int('axis', 0) : undefined;
    return cuts !== undefined && (cuts < 0 ? cuts + rank : cuts) === axis;
  });
}
