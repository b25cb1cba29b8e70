/** Layers that read the units of a group as their inputs, and how to see those inputs. */
import { DenseTensor, elementCount, lazy, type Model, type Names, Node, type Tensor, tensorType, Value } from '@penjing/core';
import type { UnitGroup } from './dimensions.js';

/** A layer whose weight has the units along its inputs. */
export interface Consumer {
  readonly node: Node;
  readonly weight: Value;
  /** (features, outputs): what the layer sums over. */
  readonly matrix: Tensor;
  /** Features per index of the input axis: the size of a kernel. */
  readonly each: number;
  /** (kept · each, outputs) as the weight is stored. */
  readonly stored: (matrix: Tensor, kept: number) => Tensor;
  /** Input axis of the weight. */
  readonly axis: number;
}

/** Tells layers apart, in the model and in copies of it. */
export function layerKey({ node, weight }: Pick<Consumer, 'node' | 'weight'>): string {
  return `${node.output().name} ${weight.name}`;
}

/** Of MatMul, Gemm and Conv with one group. */
export function consumersOf(group: UnitGroup): Consumer[] {
  const found = new Map<string, Consumer>();
  for (const { value, axis } of group.units[0]!.parts) {
    if (!value.tensor) continue;
    for (const { node, index } of value.uses()) {
      const consumer = index === 1 && node.domain === '' ? consumerAt(node, value, axis) : undefined;
      if (consumer) found.set(layerKey(consumer), consumer);
    }
  }
  return [...found.values()];
}

function consumerAt(node: Node, weight: Value, axis: number): Consumer | undefined {
  const tensor = weight.tensor!;
  const { shape } = tensor;
  const plain = { node, weight, axis, each: 1 };
  if (node.opType === 'MatMul' && shape.length === 2 && axis === 0) return { ...plain, matrix: tensor, stored: (matrix) => matrix };
  if (node.opType === 'Gemm' && node.int('transA', 0) === 0) {
    const turned = node.int('transB', 0) !== 0;
    if (axis !== (turned ? 1 : 0)) return undefined;
    return turned ? { ...plain, matrix: lazy.transpose(tensor, [1, 0]), stored: (matrix) => lazy.transpose(matrix, [1, 0]) } : { ...plain, matrix: tensor, stored: (matrix) => matrix };
  }
  if (node.opType === 'Conv' && axis === 1 && node.int('group', 1) === 1) {
    const [filters, , ...kernel] = shape as [number, number, ...number[]];
    const each = elementCount(kernel);
    const flat = (channels: number): readonly number[] => [filters, channels * each];
    return {
      ...plain, each,
      matrix: lazy.transpose(lazy.reshape(tensor, flat(shape[1]!)), [1, 0]),
      stored: (matrix, kept) => lazy.reshape(lazy.transpose(matrix, [1, 0]), [filters, kept, ...kernel]),
    };
  }
  return undefined;
}

/** Kernels with more elements than this are not taken apart: the statistic would be larger than the layer. */
const MOST_FEATURES = 8192;

/**
 * Adds to a copy of the model what shows the inputs of a layer, features last: for a convolution its patches, by a convolution with one
 * filter per element of the kernel. Gives the name of the value; undefined where the node is not in the main graph, or too large.
 */
export function addProbe(copy: Model, nodes: ReadonlyMap<string, Node>, { node, weight }: Consumer, names: Names): string | undefined {
  const twin = nodes.get(node.output().name);
  const input = twin?.input(0);
  if (!twin || !input) return undefined;
  if (twin.opType !== 'Conv') return input.name;
  const [, channels, ...kernel] = weight.tensor!.shape as [number, number, ...number[]];
  const each = elementCount(kernel);
  const features = channels * each;
  if (features > MOST_FEATURES) return undefined;
  const filters = new Float32Array(features * features);
  for (let f = 0; f < features; f++) filters[f * features + f] = 1;
  const dtype = weight.tensor!.dtype;
  const kernelValue = copy.graph.addInitializer(names.claim(`${weight.name}_patches`), DenseTensor.of('float32', [features, channels, ...kernel], filters));
  if (dtype !== 'float32') return undefined;
  const patches = new Value(names.claim(`${node.output().name}_patches`), tensorType('float32'));
  const turned = new Value(names.claim(`${node.output().name}_features`), tensorType('float32'));
  copy.graph.insertBefore(twin, new Node('Conv', [input, kernelValue], [patches], { name: names.claim(`${node.name}_patches`), attributes: twin.attributes }));
  const rank = kernel.length + 2;
  copy.graph.insertBefore(
    twin,
    new Node('Transpose', [patches], [turned], {
      name: names.claim(`${node.name}_features`),
      attributes: [['perm', { kind: 'ints', value: [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1].map(BigInt) }]],
    }),
  );
  return turned.name;
}
