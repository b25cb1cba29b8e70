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
