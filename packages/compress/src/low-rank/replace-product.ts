/** Puts two thin matrices in the place of one, wherever it multiplies. */
import { lazy, type Names, Node, type Tensor, Value } from '@penjing/core';
import type { WeightMatrix } from '@penjing/core/calibrate';

export interface FactorTensors {
  /** (size, rank). */
  readonly down: Tensor;
  /** (rank, outputs). */
  readonly up: Tensor;
}

/** Why a matrix cannot be replaced, if it cannot. */
export function refuseFactors({ matrix, sites, otherReaders }: WeightMatrix): string | undefined {
  if (matrix.dtype === 'float64') return 'it is float64';
  if (otherReaders.length > 0) return `${[...new Set(otherReaders.map(({ opType }) => opType))].join(', ')} reads it too`;
  if (sites.some(({ node }) => node.opType === 'Gemm' && node.int('transA', 0) !== 0)) return 'its Gemm turns the activation';
  return undefined;
}

/** x · W becomes (x · down) · up; bias, alpha and beta of a Gemm stay with the second product. Gives the names of the new weights. */
export function replaceProducts({ weight, owner, matrix, sites }: WeightMatrix, factors: FactorTensors, names: Names): { readonly down: string; readonly up: string } {
  const add = (part: string, tensor: Tensor): Value => owner.addInitializer(names.claim(`${weight.name}.${part}`), lazy.cast(tensor, matrix.dtype));
  const down = add('down', factors.down);
  const up = add('up', factors.up);
  for (const { node } of sites) {
    const inner = new Value(names.claim(`${node.output().name}_inner`));
    node.graph!.insertBefore(node, new Node('MatMul', [node.input(0)!, down], [inner], { name: names.claim(`${node.name || node.output().name}_down`) }));
    node.setInput(0, inner);
    node.setInput(1, up);
    if (node.opType === 'Gemm') node.attributes.delete('transB');
  }
  return { down: down.name, up: up.name };
}
