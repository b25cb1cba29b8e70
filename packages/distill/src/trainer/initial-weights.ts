/** How random weights are drawn, by what a weight is for. */
import { elementCount, type Model, type Node, type Tensor, type Use, type Value } from '@penjing/core';
import { weightMatrices } from '@penjing/core/calibrate';

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
  const sites = new Map(matrices.flatMap((matrix) => matrix.sites.map(({ node }) => [node, matrix] as const)));
  const { names: residual, additions } = residualWeights(model, new Map([...sites].map(([node, { weight }]) => [node, weight.name])));
  const kinds = new Map(matrices.map(({ weight, sites: [site] }) => [weight.name, site!.kind]));
  return Object.fromEntries([...weights].map(([name, { shape }]) => {
    if (kinds.get(name) === 'conv') return [name, { mean: 0, std: Math.sqrt(2 / elementCount(shape.slice(1))) }];
    if (!kinds.has(name) && shape.filter((dim) => dim > 1).length < 2) return [name, constant(vectorValue(name, model.graph.initializers.get(name)!))];
    return [name, { mean: 0, std: residual.has(name) ? std / Math.sqrt(additions) : std }];
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

/** What ends a branch: the length of what comes before it does not reach the stream. */
const isNorm = ({ opType }: Node): boolean => /Normalization$/.test(opType);

/** Additions of a branch to what the branch was computed from, and the weights that such branches end with. Streams that are normalized after each addition are no sums. */
function residualWeights(model: Model, layers: ReadonlyMap<Node, string>): { readonly names: ReadonlySet<string>; readonly additions: number } {
  const places = new Map<Node, number>();
  const names = new Set<string>();
  let additions = 0;
  for (const node of model.graph.nodes()) {
    places.set(node, places.size);
    if (node.opType !== 'Add' || node.domain !== '') continue;
    const [a, b] = node.inputs;
    if (!a || !b) continue;
    const found = [[a, b], [b, a]].map(([stream, branch]) => branchEnds(stream!, branch!, places, layers)).find((ends) => ends.length > 0);
    if (!found) continue;
    additions++;
    for (const name of found) names.add(name);
  }
  return { names, additions };
}

/** Weights of the last layers of a branch, if it depends on the stream; none otherwise. */
function branchEnds(stream: Value, branch: Value, places: ReadonlyMap<Node, number>, layers: ReadonlyMap<Node, string>): readonly string[] {
  if (stream.tensor || (stream.producer && isNorm(stream.producer))) return [];
  const from = stream.producer ? places.get(stream.producer)! : -1;
  const isInside = ({ producer }: Value): boolean => producer !== undefined && places.get(producer)! > from;
  if (!upstream(branch, isInside).has(stream)) return [];
  const passed = upstream(branch, (value) => isInside(value) && !layers.has(value.producer!) && !isNorm(value.producer!));
  return [...passed].flatMap((value) => (isInside(value) && layers.get(value.producer!)) || []);
}

/** What a value is computed from, as far as `passes` lets through, and itself. */
function upstream(value: Value, passes: (value: Value) => boolean): ReadonlySet<Value> {
  const seen = new Set([value]);
  // a set gives what is added while it is walked
  for (const next of seen) if (passes(next)) for (const input of next.producer!.inputs) if (input) seen.add(input);
  return seen;
}
