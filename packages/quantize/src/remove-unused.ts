/** Lets go of weights that nothing reads any more, and of the transposes that stood before them. */
import { type Model, modelGraphs, type Value } from '@penjing/core';

export function removeUnusedWeights(model: Model, candidates: ReadonlySet<Value>): void {
  for (const graph of modelGraphs(model)) {
    for (const node of graph.nodes()) {
      const reads = node.inputs.some((value) => value && candidates.has(value));
      const used = node.outputs.some((value) => value.useCount > 0 || graph.outputs.includes(value));
      if (reads && !used) graph.remove(node);
    }
  }
  for (const graph of modelGraphs(model)) {
    for (const value of candidates) {
      if (graph.initializers.get(value.name) !== value) continue;
      if (value.useCount > 0 || graph.outputs.includes(value)) continue;
      graph.initializers.delete(value.name);
      // Before IR version 4 every initializer is also listed as an input.
      const listed = graph.inputs.indexOf(value);
      if (listed !== -1) graph.inputs.splice(listed, 1);
    }
  }
}
