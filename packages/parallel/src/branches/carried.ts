/** Nodes that belong to whoever reads them, so that they tie no branches together: cheap to compute again, and the same each time. */
import type { Model, Node, Value } from '@penjing/core';
import { constantValues, DRAWS, readValues } from '../split/cut-blocks.js';

export interface Carried {
  /** Nodes of the main graph that stand in one part only, in the order of the graph. */
  readonly owned: readonly Node[];
  /** What whoever reads a value has to be given: inputs of the graph and values of owned nodes. */
  readonly readsOf: (value: Value) => readonly Value[];
}

/**
 * What follows from weights, or by little work from the inputs of the graph (masks, sizes, positions), is computed by every part that reads it. So is a DequantizeLinear, which ONNX Runtime makes one with
 * its reader: integers cross between parts. `most`: seconds up to which work is little.
 */
export function carriedNodes(model: Model, costOf: (node: Node) => number, most: number): Carried {
  const constants = constantValues(model);
  const given = new Set<Value>(model.graph.outputs);
  const owned: Node[] = [];
  /** Seconds to compute a carried value from the inputs again. */
  const again = new Map<Value, number>([...model.graph.initializers.values(), ...model.graph.inputs].map((value) => [value, 0]));
  const reads = new Map<Value, readonly Value[]>(model.graph.inputs.filter(({ tensor }) => !tensor).map((value) => [value, [value]]));
  const readsOf = (value: Value): readonly Value[] => reads.get(value) ?? [];
  const needed = neededNodes(model);
  for (const node of model.graph.nodes()) {
    // Nobody reads what it gives: a part of such nodes alone would give nothing.
    if (!needed.has(node)) continue;
    const read = readValues(node);
    const cost = node.outputs.every((value) => constants.has(value)) ? 0 : read.reduce((sum, value) => sum + (again.get(value) ?? Infinity), costOf(node));
    const isCheap = cost <= most && !DRAWS.has(node.opType);
    const isCarried = (isCheap || (node.opType === 'DequantizeLinear' && node.domain === '')) && !node.outputs.some((value) => given.has(value));
    if (!isCarried) owned.push(node);
    const behind = isCarried ? [...new Set(read.flatMap(readsOf))] : [];
    for (const value of node.outputs) {
      reads.set(value, isCarried ? behind : [value]);
      if (isCarried && isCheap) again.set(value, cost);
    }
  }
  return { owned, readsOf };
}

/** Nodes that lead to an output of the graph. */
function neededNodes({ graph }: Model): ReadonlySet<Node> {
  const needed = new Set<Node>();
  const open = [...graph.outputs];
  for (let value = open.pop(); value; value = open.pop()) {
    const { producer } = value;
    if (!producer || needed.has(producer)) continue;
    needed.add(producer);
    open.push(...readValues(producer));
  }
  return needed;
}
