/** Layers that read the same activation: one statistic serves them all. */
import type { Model } from '../graph/model.js';
import type { Node } from '../graph/node.js';
import type { SkippedWeight, WeightMatrix } from './weight-matrices.js';

export interface LayerGroup {
  /** Name of the value that they multiply, in the main graph. */
  readonly activation: string;
  /** Channels of the activation: columns of every matrix. */
  readonly channels: number;
  /** At least one. */
  readonly layers: readonly WeightMatrix[];
  /** The first node that multiplies: the group belongs to the block of this node. */
  readonly node: Node;
}

/**
 * Groups matrices by the activation that all their products read. Those without one are named: they stand in a subgraph or a
 * function, where nothing is calibrated, multiply several activations, or are looked up only.
 */
export function layerGroups(model: Model, matrices: readonly WeightMatrix[]): { groups: LayerGroup[]; skipped: SkippedWeight[] } {
  const groups = new Map<string, LayerGroup & { layers: WeightMatrix[] }>();
  const skipped: SkippedWeight[] = [];
  for (const layer of matrices) {
    const products = layer.sites.filter(({ kind }) => kind !== 'gather');
    const [first] = products;
    const activation = first?.node.input(0);
    const reason = !first || !activation ? 'it is looked up: no activation multiplies it' : refusal(model, layer, products);
    if (reason !== undefined || !first || !activation) {
      skipped.push({ weight: layer.weight, reason: reason ?? '' });
      continue;
    }
    const channels = layer.matrix.shape[1]!;
    const group = groups.get(activation.name);
    if (group) group.layers.push(layer);
    else groups.set(activation.name, { activation: activation.name, channels, layers: [layer], node: first.node });
  }
  return { groups: [...groups.values()], skipped };
}

function refusal({ graph }: Model, { root, matrix }: WeightMatrix, products: WeightMatrix['sites']): string | undefined {
  if (root !== graph || products.some(({ node }) => node.graph !== graph)) return 'it stands in a subgraph or function: activations are gathered in the main graph only';
  if (matrix.dtype !== 'float32') return `it is ${matrix.dtype}: calibration runs in float32`;
  if (products.some(({ node }) => node.input(0) !== products[0]!.node.input(0))) return 'several activations multiply it';
  if (products.some(({ kind }) => kind === 'conv')) return 'it is the kernel of a convolution, whose patches are not gathered';
  if (products.some(({ node }) => node.int('transA', 0) !== 0)) return 'its Gemm turns the activation';
  return undefined;
}
