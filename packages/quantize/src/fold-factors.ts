/** Divides an activation by a factor per channel where that costs nothing: in what computed it, or else by a Mul before the layers. */
import { blocks, DenseTensor, type Graph, inferShapes, lazy, type Model, type Names, Node, type Tensor, Value } from '@penjing/core';
import type { LayerGroup } from '@penjing/core/calibrate';
import { attentionValue } from './attention-value.js';

/** Inputs of normalisations whose last dimension is the channels: the gain, and the bias where there is one. */
const NORMS: Readonly<Record<string, readonly number[]>> = {
  LayerNormalization: [1, 2],
  SimplifiedLayerNormalization: [1],
  RMSNormalization: [1],
  SkipLayerNormalization: [2, 3],
  SkipSimplifiedLayerNormalization: [2],
};

/** Where to divide the activation of a group; asked before its layers are rewritten. Both give what was done, for the notes of the records. */
export interface FactorFolder {
  /** In what computes the activation; undefined, and nothing done, where it cannot take the factors. */
  foldInto(group: LayerGroup, factors: Float32Array): string | undefined;
  /** The same, or by a Mul. */
  fold(group: LayerGroup, factors: Float32Array): string;
}

/**
 * A producer takes the factors only when nothing else reads the activation. While later blocks are still to be `calibrating`, values
 * between blocks must keep their meaning: it must stand in the block of the layers too.
 */
export function factorFolder(model: Model, names: Names, { calibrating }: { readonly calibrating: boolean }): FactorFolder {
  inferShapes(model);
  const blockOf = new Map<Value, number>();
  for (const [index, { nodes }] of blocks(model).entries()) for (const node of nodes) for (const value of node.outputs) blockOf.set(value, calibrating ? index : 0);
  const outputs = new Set(model.graph.outputs);

  const sitesOf = ({ layers }: LayerGroup): Set<Node> => new Set(layers.flatMap((layer) => layer.sites.flatMap((site) => (site.kind === 'gather' ? [] : [site.node]))));
  const foldInto = (group: LayerGroup, factors: Float32Array): string | undefined => {
    const activation = group.node.input(0)!;
    const sites = sitesOf(group);
    const here = (value: Value): boolean => blockOf.get(value) !== undefined && blockOf.get(value) === blockOf.get(group.node.output());
    const inverse = factors.map((factor) => 1 / factor);
    const alone = (value: Value): boolean => here(value) && !outputs.has(value) && value.producer?.graph === model.graph;
    if (!alone(activation) || !activation.uses().every((use) => sites.has(use.node)) || ![...sites].every((site) => here(site.output()))) return undefined;
    const producer = activation.producer!;
    if (producer.outputs[0] === activation && foldIntoNorm(producer, inverse, model.graph, names)) return `factors in ${producer.name || producer.opType}`;
    const own = (value: Value): boolean => alone(value) && value.useCount === 1;
    const mixed = attentionValue(activation, inverse.length, own);
    const layer = foldIntoLayer(producer, own, inverse, model.graph, names) ?? (mixed && foldIntoValues(mixed, own, inverse, model.graph, names));
    return layer === undefined ? undefined : `factors in ${layer}`;
  };

  return {
    foldInto,
    fold(group, factors) {
      const folded = foldInto(group, factors);
      if (folded !== undefined) return folded;
      multiply(group.node.input(0)!, sitesOf(group), factors.map((factor) => 1 / factor), model.graph, names);
      return 'factors in a Mul before it';
    },
  };
}

/** Gain and bias of a normalisation, or the constant of a Mul that is the gain of one in single operators. */
function foldIntoNorm(producer: Node, inverse: Float32Array, graph: Graph, names: Names): boolean {
  const { opType } = producer;
  const channels = inverse.length;
  let places: readonly number[] | undefined = Object.hasOwn(NORMS, opType) ? NORMS[opType]!.filter((place) => producer.input(place)) : undefined;
  if (opType === 'LayerNormalization' || opType === 'RMSNormalization') {
    // Of the last axis only: other gains have more dimensions.
    if (producer.int('axis', -1) !== -1 && producer.input(places![0]!)?.tensor?.shape.length !== 1) return false;
  }
  if (opType === 'Mul' && producer.domain === '') places = [0, 1].filter((place) => producer.input(place)?.tensor);
  if (!places || places.length === 0) return false;
  const tensors = places.map((place) => producer.input(place)!.tensor);
  if (tensors.some((tensor) => !tensor || tensor.dtype !== 'float32' || tensor.shape.at(-1) !== channels || tensor.shape.length !== 1)) return false;
  for (const [i, place] of places.entries()) replaceInput(producer, place, lazy.multiply(tensors[i]!, vector(inverse, [channels])), graph, names);
  return true;
}

/** The outputs of the layer before, through the product of a gated layer: its grids are one per output, so only scales change. */
function foldIntoLayer(producer: Node, mayChange: (value: Value) => boolean, inverse: Float32Array, graph: Graph, names: Names): string | undefined {
  const candidates = producer.opType === 'Mul' && producer.domain === '' ? [producer.input(1), producer.input(0)] : [];
  for (const value of candidates) {
    const layer = value?.producer;
    if (!value || !layer || layer.graph !== graph || !mayChange(value)) continue;
    if (scaleOutputs(layer, inverse, graph, names)) return layer.name || value.name;
  }
  return undefined;
}

/** The projection of the values of an attention, with its bias: what it mixes over tokens it does not mix over channels. */
function foldIntoValues(value: Value, own: (value: Value) => boolean, inverse: Float32Array, graph: Graph, names: Names): string | undefined {
  const sum = value.producer!;
  if (sum.opType !== 'Add' || sum.domain !== '') return scaleOutputs(sum, inverse, graph, names) ? sum.name || value.name : undefined;
  const place = [0, 1].find((index) => sum.input(index)?.tensor);
  const product = place === undefined ? undefined : sum.input(1 - place);
  const bias = place === undefined ? undefined : sum.input(place)?.tensor;
  if (!product?.producer || !own(product) || bias?.dtype !== 'float32' || bias.shape.length !== 1 || bias.shape[0] !== inverse.length) return undefined;
  if (!scaleOutputs(product.producer, inverse, graph, names)) return undefined;
  replaceInput(sum, place!, lazy.multiply(bias, vector(inverse, [inverse.length])), graph, names);
  return product.producer.name || product.name;
}

function scaleOutputs(layer: Node, inverse: Float32Array, graph: Graph, names: Names): boolean {
  const outputs = inverse.length;
  if (layer.opType === 'MatMulNBits' && layer.domain === 'com.microsoft' && !layer.input(4) && !layer.input(5) && layer.int('N', 0) === outputs) {
    return scaleInitializer(layer, 2, [outputs, 1], inverse, graph, names);
  }
  if (layer.opType !== 'MatMul' || layer.domain !== '') return false;
  const dequantize = layer.input(1)?.producer;
  if (dequantize?.opType === 'DequantizeLinear' && layer.input(1)!.useCount === 1) return scaleInitializer(dequantize, 1, [1, outputs], inverse, graph, names);
  return scaleInitializer(layer, 1, [1, outputs], inverse, graph, names);
}

function scaleInitializer(node: Node, place: number, shape: readonly [number, number], inverse: Float32Array, graph: Graph, names: Names): boolean {
  const tensor = node.input(place)?.tensor;
  if (tensor?.dtype !== 'float32' || tensor.shape.length !== 2 || tensor.shape[shape[0] === 1 ? 1 : 0] !== inverse.length) return false;
  replaceInput(node, place, lazy.multiply(tensor, vector(inverse, shape)), graph, names);
  return true;
}

/** Changes an initializer, or gives the node one of its own where others read it too. */
function replaceInput(node: Node, place: number, tensor: Tensor, graph: Graph, names: Names): void {
  const value = node.input(place)!;
  if (value.useCount === 1 && graph.initializers.get(value.name) === value && !graph.inputs.includes(value) && !graph.outputs.includes(value)) value.tensor = tensor;
  else node.setInput(place, graph.addInitializer(names.claim(`${value.name}.scaled`), tensor));
}

function multiply(activation: Value, sites: ReadonlySet<Node>, inverse: Float32Array, graph: Graph, names: Names): void {
  const scaled = new Value(names.claim(`${activation.name}.scaled`), activation.type);
  const by = graph.addInitializer(names.claim(`${activation.name}.factors`), vector(inverse, [inverse.length]));
  const [first] = [...graph.nodes()].filter((node) => sites.has(node));
  graph.insertBefore(first!, new Node('Mul', [activation, by], [scaled], { name: names.claim(`${activation.name}/Scale`) }));
  for (const site of sites) site.setInput(0, scaled);
}

function vector(data: Float32Array, shape: readonly number[]): Tensor {
  return DenseTensor.of('float32', shape, data);
}
