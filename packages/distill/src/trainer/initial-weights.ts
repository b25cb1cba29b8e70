/** How random weights are drawn, by what a weight is for. */
import { elementCount, type Model, type Tensor, type Use, type Value } from '@penjing/core';
import { weightMatrices } from '@penjing/core/calibrate';
import { residualBranches } from './residual-branches.js';

/** Normal, or `mean` itself where the deviation is 0. */
export interface Draw {
  readonly mean: number;
  readonly std: number;
}

const constant = (mean: number): Draw => ({ mean, std: 0 });

/**
 * Matrices and embeddings are normal with a deviation of `std`; those that add to a residual stream of a decoder or encoder that is normalized before its blocks, of `std` / √(number of additions), so that the
 * variance of the stream does not grow with depth (Radford et al. 2019, section 2.3); kernels of convolutions √(2 / inputs of a filter) (He et al. 2015, arXiv:1502.01852). Gains and variances are 1; biases and means 0.
 */
export function initialWeights(model: Model, weights: ReadonlyMap<string, Tensor>, { std }: { readonly std: number }): Record<string, Draw> {
  const { matrices } = weightMatrices(model, ['matmul', 'gemm', 'conv', 'gather']);
  const sites = new Map(matrices.flatMap(({ weight, sites }) => sites.map(({ node }) => [node, weight.name] as const)));
  const additions = residualBranches(model, new Set(sites.keys())).filter(({ normalized, ends }) => !normalized && ends.length > 0);
  const residual = new Set(additions.flatMap(({ ends }) => ends.map((node) => sites.get(node)!)));
  const kinds = new Map(matrices.map(({ weight, sites: [site] }) => [weight.name, site!.kind]));
  return Object.fromEntries([...weights].map(([name, { shape }]) => {
    if (kinds.get(name) === 'conv') return [name, { mean: 0, std: Math.sqrt(2 / elementCount(shape.slice(1))) }];
    if (!kinds.has(name) && shape.filter((dim) => dim > 1).length < 2) return [name, constant(vectorValue(name, model.graph.initializers.get(name)!))];
    return [name, { mean: 0, std: residual.has(name) ? std / Math.sqrt(additions.length) : std }];
  }));
}

/** Inputs of operators that are 1 in a layer that does nothing yet. */
const gains: Readonly<Record<string, readonly number[]>> = {
  Mul: [0, 1], BatchNormalization: [1, 4], LayerNormalization: [1], GroupNormalization: [1], InstanceNormalization: [1], RMSNormalization: [1], SimplifiedLayerNormalization: [1],
};
/** And those that are 0. */
const offsets: Readonly<Record<string, readonly number[]>> = {
  Add: [0, 1], Sub: [1], Gemm: [2], Conv: [2], ConvTranspose: [2], BatchNormalization: [2, 3], LayerNormalization: [2], GroupNormalization: [2], InstanceNormalization: [2],
};

/** By what reads it, or by its name where that says nothing. */
function vectorValue(name: string, value: Value): number {
  const reads = (table: typeof gains): boolean => value.uses().some(({ node, index }: Use) => Object.hasOwn(table, node.opType) && table[node.opType]!.includes(index));
  if (reads(gains)) return 1;
  if (reads(offsets)) return 0;
  return /bias|mean/i.test(name) ? 0 : 1;
}
