/** Takes out what nothing reads: nodes, weights, optional outputs, functions. */
import type { Graph } from '../graph/graph.js';
import type { Model } from '../graph/model.js';
import type { Node } from '../graph/node.js';
import { allGraphs, modelGraphs } from '../graph/traverse.js';
import type { Value } from '../graph/value.js';
import { innerGraphs, rewritableGraphs } from './scopes.js';
import { schemaOf } from '../ops/lookup.js';

export interface RemoveDeadOptions {
  /** Leave nodes their optional outputs although nothing reads them: kernels may compute the others in another way without. */
  readonly keepOutputs?: boolean;
}

/** Gives the number of things removed. */
export function removeDead(model: Model, { keepOutputs = false }: RemoveDeadOptions = {}): number {
  let removed = 0;
  for (const [root, opsets] of [[model.graph, model.opsetImports] as const, ...model.functions.map((fn) => [fn.body, fn.opsetImports] as const)]) {
    const outputs = new Set([...allGraphs(root)].flatMap((graph) => graph.outputs));
    const used = (value: Value): boolean => value.useCount > 0 || outputs.has(value);
    removed += removeNodes(root, used);
    for (const graph of rewritableGraphs(root)) {
      if (!keepOutputs) for (const node of graph.nodes()) removed += dropOutputs(node, used, opsets.get(node.domain) ?? 1);
      for (const [name, value] of [...graph.initializers]) {
        // A default of an input belongs to the interface.
        if (used(value) || graph.inputs.includes(value)) continue;
        graph.initializers.delete(name);
        removed++;
      }
    }
  }
  return removed + removeFunctions(model);
}

/** Back to front, so that what only a removed node read goes in the same walk. */
function removeNodes(graph: Graph, used: (value: Value) => boolean): number {
  let removed = 0;
  for (const node of [...graph.nodes()].reverse()) {
    // A node without outputs is kept for its effects.
    if (node.outputs.length === 0 || node.outputs.some(used)) {
      for (const inner of innerGraphs(node)) removed += removeNodes(inner, used);
      continue;
    }
    release(node);
    graph.remove(node);
    removed++;
  }
  return removed;
}

/** The nodes of subgraphs let go of what they read outside. */
export function release(node: Node): void {
  for (const inner of node.subgraphs()) {
    for (const graph of allGraphs(inner)) {
      for (const nested of graph.nodes()) for (let i = 0; i < nested.inputs.length; i++) nested.setInput(i, null);
    }
  }
}

/** Unused optional outputs at the end of the list, as the declaration of the operator allows. */
function dropOutputs(node: Node, used: (value: Value) => boolean, opset: number): number {
  // In training mode its running statistics are no option.
  if (node.opType === 'BatchNormalization' && node.attributes.has('training_mode')) return 0;
  const declared = schemaOf(node.domain, node.opType, opset)?.outputs;
  let length = node.outputs.length;
  while (declared && length > 1 && declared[length - 1]?.option === 'optional' && !used(node.outputs[length - 1]!)) length--;
  const dropped = node.outputs.length - length;
  if (dropped > 0) node.truncateOutputs(length);
  return dropped;
}

function removeFunctions(model: Model): number {
  const key = (domain: string, name: string, overload: string): string => `${domain}:${name}:${overload}`;
  const called = new Set<string>();
  for (const graph of modelGraphs(model)) for (const node of graph.nodes()) called.add(key(node.domain, node.opType, node.overload));
  const kept = model.functions.filter((fn) => called.has(key(fn.domain, fn.name, fn.overload)));
  const removed = model.functions.length - kept.length;
  if (removed > 0) model.functions.splice(0, model.functions.length, ...kept);
  return removed;
}
