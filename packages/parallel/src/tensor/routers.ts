/** Products that choose experts: they stay whole, so that what they choose is what the whole model chooses. */
import type { Node, Value } from '@penjing/core';
import { type GraphFacts, nameOf } from './graph-facts.js';

/** The input that is chosen by. */
const choosers: Readonly<Record<string, number>> = { TopK: 0, 'com.microsoft.MoE': 1, 'com.microsoft.QMoE': 1 };

/** From every choice back to the first product with weights, and all between. */
export function routerNodes(facts: GraphFacts): Set<Node> {
  const found = new Set<Node>();
  const visit = (value: Value | null | undefined): void => {
    const node = value?.producer;
    if (!node || found.has(node) || !facts.order.has(node)) return;
    found.add(node);
    const product = facts.ways(node).some(({ weight }) => weight !== undefined && facts.constant.has(node.inputs[weight]!));
    if (!product) node.inputs.forEach(visit);
  };
  for (const node of facts.nodes) {
    const input = choosers[nameOf(node)];
    if (input !== undefined) visit(node.input(input));
  }
  return found;
}

/**
 * What is chosen, and what follows from it up to a product with weights: which rows an expert computes, and what its output counts. Ends at `sums`:
 * what adds up a mixture hands on values that all depend on what was chosen, and what reads those chooses nothing.
 */
export function routedValues(facts: GraphFacts, sums: ReadonlySet<Node>): Set<Value> {
  const found = new Set<Value>();
  for (const node of facts.nodes) {
    if (sums.has(node) || readsMatrix(facts, node)) continue;
    if (Object.hasOwn(choosers, nameOf(node)) || node.inputs.some((value) => value && found.has(value))) for (const value of node.outputs) found.add(value);
  }
  return found;
}

/** Whatever the number of shards: `ways` tells products only where they can be cut. */
export function readsMatrix(facts: GraphFacts, node: Node): boolean {
  return node.inputs.some((value) => value && facts.constant.has(value) && (facts.shape(value) ?? value.tensor?.shape ?? []).filter((size) => size !== 1).length > 1);
}
