/** Whether a part of a decoder computes each position of a text by itself, so that it can be run on some of them at a time. */
import type { Model, Node, Value } from '@penjing/core';

/** Operators that treat positions alike: what the second operand may be is checked for all. */
const products = new Set(['MatMul', 'MatMulNBits']);
const elementwise = new Set(['Add', 'Sub', 'Mul', 'Div', 'Cast', 'Tanh', 'Identity']);
const norms = new Set(['LayerNormalization', 'SimplifiedLayerNormalization', 'RMSNormalization']);

/** Of a model with one input (batch, positions, width). False where it cannot tell. */
export function isRowwise({ graph }: Model): boolean {
  if (graph.inputs.length !== 1 || graph.outputs.length !== 1) return false;
  const varying = new Set<Value>(graph.inputs);
  for (const node of graph.nodes()) {
    const read = node.inputs.filter((value) => value !== null);
    if (!read.some((value) => varying.has(value)) && [...node.subgraphs()].length === 0) continue;
    if (!treatsAlike(node, varying)) return false;
    for (const value of node.outputs) varying.add(value);
  }
  return varying.has(graph.outputs[0]!);
}

function treatsAlike({ opType, inputs, attributes }: Node, varying: ReadonlySet<Value>): boolean {
  const [first, ...others] = inputs.filter((value) => value !== null);
  const fixed = others.every((value) => !varying.has(value));
  if (products.has(opType)) return varying.has(first!) && fixed;
  const axis = attributes.get('axis');
  if (norms.has(opType)) return varying.has(first!) && fixed && (axis === undefined || (axis.kind === 'int' && (axis.value === -1n || axis.value === 2n)));
  // a constant with an axis of positions would have to be cut too
  return elementwise.has(opType) && [first!, ...others].every((value) => varying.has(value) || (value.tensor !== undefined && value.tensor.shape.length <= 1));
}
