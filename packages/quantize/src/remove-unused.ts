/** Lets go of weights that nothing reads any more, and of the transposes that stood before them. */
import { type Model, modelGraphs, type Value } from '@penjing/core';

/** Gives the candidates that stay, because a node still reads them or a graph gives them out. */
export function removeUnusedWeights(model: Model, candidates: ReadonlySet<Value>): Value[] {
  const graphs = [...modelGraphs(model)];
  // An inner graph may give out a value of an outer one.
  const outputs = new Set(graphs.flatMap((graph) => graph.outputs));
  const used = (value: Value): boolean => value.useCount > 0 || outputs.has(value);
  for (const graph of graphs) {
    for (const node of graph.nodes()) {
      const reads = node.inputs.some((value) => value && candidates.has(value));
      if (reads && !node.outputs.some(used)) graph.remove(node);
    }
    for (const value of [...graph.initializers.values()]) {
      if (candidates.has(value) && !used(value)) graph.initializers.delete(value.name);
    }
  }
  return [...candidates].filter(used);
}
