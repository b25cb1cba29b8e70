/** Layers that read the same activation: one statistic serves them all. */
import type { Model } from '../graph/model.js';
import type { Node } from '../graph/node.js';
import type { Patches } from './patches.js';
import type { SkippedWeight, WeightMatrix } from './weight-matrices.js';

export interface LayerGroup {
  /** Name of the value that they multiply, in the main graph; of convolutions a name for its patches. */
  readonly activation: string;
  readonly patches?: Patches | undefined;
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
    const patches = first.kind === 'conv' ? patchesOf(first.node, layer) : undefined;
    const key = patches ? JSON.stringify([activation.name, patches.kernel, ...attributeTexts(first.node)]) : activation.name;
    const group = groups.get(key);
    if (group) group.layers.push(layer);
    else groups.set(key, { activation: patches ? `patches of ${activation.name} for ${first.node.output().name}` : activation.name, patches, channels, layers: [layer], node: first.node });
  }
  return { groups: [...groups.values()], skipped };
}

function refusal({ graph }: Model, { root, matrix }: WeightMatrix, products: WeightMatrix['sites']): string | undefined {
  if (root !== graph || products.some(({ node }) => node.graph !== graph)) return 'it stands in a subgraph or function: activations are gathered in the main graph only';
  if (matrix.dtype !== 'float32') return `it is ${matrix.dtype}: calibration runs in float32`;
  if (products.some(({ node }) => node.input(0) !== products[0]!.node.input(0))) return 'several activations multiply it';
  if (products.some(({ kind, node }) => kind === 'conv' && node.int('group', 1) !== 1)) return 'it is the kernel of a convolution in groups, which read other channels each';
  if (products[0]!.kind === 'conv' && products.some(({ node }) => attributeTexts(node).join() !== attributeTexts(products[0]!.node).join())) return 'convolutions of several forms share it';
  if (products.some(({ node }) => node.int('transA', 0) !== 0)) return 'its Gemm turns the activation';
  return undefined;
}

function patchesOf(node: Node, { weight }: WeightMatrix): Patches {
  const [, channels, ...kernel] = weight.tensor!.shape as [number, number, ...number[]];
  return { activation: node.input(0)!.name, channels, kernel, attributes: node.attributes };
}

/** How a convolution walks over its input, as it is written. */
function attributeTexts(node: Node): string[] {
  return [...['strides', 'pads', 'dilations', 'kernel_shape'].map((name) => `${node.ints(name)?.join() ?? ''}`), node.string('auto_pad', '')];
}
