/** Puts nodes in execution order. ONNX asks for it, ONNX Runtime does not, and files that are out of order exist. */
import { capturedValues, type Node, type Value } from '@penjing/core';

/**
 * The same nodes, each after those it reads from; nodes in order already keep their places.
 * Returns the first node of a cycle instead, if there is one.
 */
export function sortNodes(nodes: readonly Node[]): readonly Node[] | { readonly cycle: Node } {
  const position = new Map(nodes.map((node, i) => [node, i]));
  const sources = nodes.map((node) => producersOf(node, position));
  if (sources.every((list, i) => list.every((source) => source < i))) return nodes;

  const sorted: Node[] = [];
  const state = new Uint8Array(nodes.length); // 0 new, 1 waiting for its sources, 2 placed
  for (let root = 0; root < nodes.length; root++) {
    const stack = [root]; // no recursion: a chain may be as long as the file
    while (stack.length > 0) {
      const at = stack.at(-1)!;
      const missing = state[at] === 2 ? [] : sources[at]!.filter((source) => state[source] !== 2);
      if (state[at] === 1 && missing.some((source) => state[source] === 1)) return { cycle: nodes[at]! };
      if (missing.length > 0) {
        state[at] = 1;
        stack.push(missing[0]!);
        continue;
      }
      stack.pop();
      if (state[at] !== 2) sorted.push(nodes[at]!);
      state[at] = 2;
    }
  }
  return sorted;
}

function producersOf(node: Node, position: ReadonlyMap<Node, number>): number[] {
  const found: number[] = [];
  const add = (value: Value | null): void => {
    const at = value?.producer && position.get(value.producer);
    if (at !== undefined) found.push(at);
  };
  node.inputs.forEach(add);
  for (const graph of node.subgraphs()) capturedValues(graph).forEach(add);
  return found;
}
