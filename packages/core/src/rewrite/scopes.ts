/** Makes a model ready for rewriting: unique names, constants as initializers, no weights among the inputs. */
import { allGraphs } from '../graph/traverse.js';
import type { Graph } from '../graph/graph.js';
import type { Model } from '../graph/model.js';
import { Names } from '../graph/names.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { constantTensor } from './constant-of.js';

/**
 * The graphs that a node holds and rules may change. Those of other domains (BeamSearch, GreedySearch) are left alone: their
 * operators read them by position and count, outer values included.
 */
export function innerGraphs(node: Node): readonly Graph[] {
  return node.domain === '' ? node.subgraphs() : [];
}

/** The graph and the graphs nested in it that rules may change. */
export function* rewritableGraphs(graph: Graph): Generator<Graph, void, undefined> {
  yield graph;
  for (const node of graph.nodes()) for (const inner of innerGraphs(node)) yield* rewritableGraphs(inner);
}

/** Values of inner graphs that hide one of an outer graph get a name of their own, so that a rewrite may move any value inwards. */
export function uniqueNames(root: Graph): number {
  const names = new Names(allGraphs(root));
  let renamed = 0;
  const visit = (graph: Graph, outer: ReadonlySet<string>): void => {
    const local = graphValues(graph);
    if (graph !== root) {
      for (const value of local) {
        if (value.name === '' || !outer.has(value.name)) continue;
        const old = value.name;
        value.name = names.claim(old);
        if (graph.initializers.get(old) === value) {
          graph.initializers.delete(old);
          graph.initializers.set(value.name, value);
        }
        renamed++;
      }
    }
    const visible = new Set([...outer, ...local.map((value) => value.name)]);
    for (const node of graph.nodes()) for (const inner of innerGraphs(node)) visit(inner, visible);
  };
  visit(root, new Set());
  return renamed;
}

function graphValues(graph: Graph): Value[] {
  const values = new Set([...graph.inputs, ...graph.initializers.values()]);
  for (const node of graph.nodes()) for (const value of node.outputs) values.add(value);
  return [...values];
}

/**
 * Before version 4 of the format every initializer had to be an input too; from 4 on that makes it a default which
 * callers may override. Gives the inputs that stop being overridable.
 */
export function freezeInputs(model: Model): string[] {
  const { inputs } = model.graph;
  const frozen = inputs.filter((value) => value.tensor !== undefined);
  if (frozen.length > 0) inputs.splice(0, inputs.length, ...inputs.filter((value) => value.tensor === undefined));
  const declared = model.irVersion < 4 ? [] : frozen.map((value) => value.name);
  // Weights that are no inputs need version 4.
  model.irVersion = Math.max(model.irVersion, 4);
  return declared;
}

/** Constant nodes become initializers. Not in function bodies, which have none. */
export function liftConstants(root: Graph): number {
  let lifted = 0;
  for (const graph of rewritableGraphs(root)) {
    for (const node of graph.nodes()) {
      if (node.opType !== 'Constant' || node.domain !== '' || node.outputs.length !== 1) continue;
      const value = node.output(0);
      const tensor = constantTensor(node);
      if (!tensor || graph.initializers.has(value.name)) continue;
      node.truncateOutputs(0);
      graph.remove(node);
      value.tensor = tensor;
      value.type = { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape };
      graph.initializers.set(value.name, value);
      lifted++;
    }
  }
  return lifted;
}

