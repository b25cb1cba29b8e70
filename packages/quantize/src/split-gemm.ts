/** A plain Gemm (no transA, alpha and beta 1) as MatMul and Add, so that products come in one form only. */
import { type Names, Node, Value } from '@penjing/core';
import type { WeightSite } from '@penjing/core/calibrate';

/** The MatMul of a site; its weight input is for the caller to set. */
export function productOf({ node, kind }: WeightSite, names: Names): Node {
  if (kind !== 'gemm') return node;
  const graph = node.graph!;
  const bias = node.input(2);
  const { name, type } = node.output();
  const product = bias ? new Value(names.claim(`${name}_product`), type) : takeOver(node);
  const matmul = graph.insertBefore(node, new Node('MatMul', [node.input(0)!, node.input(1)!], [product], { name: node.name }));
  if (bias) graph.insertBefore(node, new Node('Add', [product, bias], [takeOver(node)], { name: names.claim(`${name}_bias`) }));
  graph.remove(node);
  return matmul;
}

/** Frees a node's output for its replacement: uses and graph outputs keep pointing at the same value. */
export function takeOver(node: Node): Value {
  const value = node.output();
  node.replaceOutput(0, new Value(''));
  return value;
}
