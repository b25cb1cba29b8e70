/** Walks that see subgraphs too. */
import type { Tensor } from '../tensor.js';
import type { Graph } from './graph.js';
import type { Model } from './model.js';
import type { Node } from './node.js';
import { type Value } from './value.js';

/** The graph and every graph nested in its nodes, outermost first. */
export function* allGraphs(graph: Graph): Generator<Graph, void, undefined> {
  yield graph;
  for (const node of graph.nodes()) for (const inner of node.subgraphs()) yield* allGraphs(inner);
}

/** Main graph, function bodies, and everything nested in them. */
export function* modelGraphs(model: Model): Generator<Graph, void, undefined> {
  yield* allGraphs(model.graph);
  for (const fn of model.functions) yield* allGraphs(fn.body);
}

/** Every node of the graph and of the graphs nested in it. */
export function* allNodes(graph: Graph): Generator<Node, void, undefined> {
  for (const inner of allGraphs(graph)) yield* inner.nodes();
}

/** A tensor stored somewhere in a model, and how to put another in its place. */
export interface StoredTensor {
  readonly name: string;
  readonly tensor: Tensor;
  replace(tensor: Tensor): void;
}

/** Every tensor a model stores: initializers and tensor attributes, in subgraphs and functions too. */
export function* storedTensors(model: Model): Generator<StoredTensor, void, undefined> {
  for (const graph of modelGraphs(model)) {
    for (const value of graph.initializers.values()) {
      if (!value.tensor) continue;
      yield { name: value.name, tensor: value.tensor, replace: (tensor) => (value.tensor = tensor) };
    }
    for (const node of graph.nodes()) {
      for (const [name, attr] of node.attributes) {
        if (attr.kind !== 'tensor' && attr.kind !== 'sparseTensor') continue;
        yield {
          name: `${node.outputs[0]?.name || node.name}.${name}`,
          tensor: attr.value,
          replace: (tensor) => node.attributes.set(name, { ...attr, value: tensor }),
        };
      }
    }
  }
}

/** Values that the nodes of a graph (and graphs nested in it) read from outside of it. */
export function capturedValues(graph: Graph): Set<Value> {
  const captured = new Set<Value>();
  const local = new Set<Value>();
  for (const inner of allGraphs(graph)) {
    for (const value of inner.inputs) local.add(value);
    for (const value of inner.initializers.values()) local.add(value);
    for (const node of inner.nodes()) for (const value of node.outputs) local.add(value);
  }
  for (const inner of allGraphs(graph)) {
    for (const node of inner.nodes()) for (const value of node.inputs) if (value && !local.has(value)) captured.add(value);
    for (const value of inner.outputs) if (!local.has(value)) captured.add(value);
  }
  return captured;
}

