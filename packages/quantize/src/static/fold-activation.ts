/** Activations that the end of a grid does by itself. */
import type { DenseTensor, Graph, Node } from '@penjing/core';
import type { ValueRange } from '@penjing/core/calibrate';

/** The Relu or Clip that alone reads the result of a node. */
export function foldedActivation(node: Node, graph: Graph): Node | undefined {
  const [use, ...others] = node.output().uses();
  const next = use?.node;
  if (!next || others.length > 0 || use.index !== 0 || next.graph !== graph || graph.outputs.includes(node.output())) return undefined;
  return boundsOf(next) ? next : undefined;
}

/** The range that an activation clips to, when it is constant and holds zero: a grid that is no larger clips as well. */
export function boundsOf(node: Node): ValueRange | undefined {
  if (node.domain !== '') return undefined;
  if (node.opType === 'Relu') return { min: 0, max: Infinity };
  if (node.opType !== 'Clip') return undefined;
  const bounds = [1, 2].map((index) => {
    const value = node.input(index);
    if (!value || value.name === '') return index === 1 ? -Infinity : Infinity;
    return value.tensor?.kind === 'dense' && value.tensor.dtype === 'float32' && !value.producer ? Number((value.tensor as DenseTensor).data[0]) : NaN;
  });
  const [min, max] = bounds as [number, number];
  return min <= 0 && max >= 0 ? { min, max } : undefined;
}
