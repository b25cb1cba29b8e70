/** Which operators TFLite computes on int8 codes, and on which grid their results lie. */
import { elementCount, type Node } from '@penjing/core';
import { numbersOf } from './numbers.js';
import { opNameOf } from './op-name.js';
import type { QuantizedConstant } from './qdq.js';
import type { Quantization } from './tf-graph.js';

export interface Int8Rule {
  /** `any`: the grid that the graph asks for; `same`: that of the input; otherwise the one that the kernel is made for. */
  readonly grid: 'any' | 'same' | Quantization;
  /** Inputs that must be quantized; all by default. */
  readonly inputs?: readonly number[];
  /** Conditions on attributes and constants; `constant` gives the codes behind an input. */
  readonly accepts?: (node: Node, constant: (index: number) => QuantizedConstant | undefined) => boolean;
}

const fixed = (scale: number, zeroPoint: number): Quantization => ({ scale: [scale], zeroPoint: [zeroPoint], axis: 0 });

/** A weight of int8 around zero, with one scale or one for each slice of `axis`; the bias is a constant or absent. */
const weighted = (axisOf: (node: Node) => number, others: (node: Node) => boolean = () => true): Int8Rule => ({
  grid: 'any',
  inputs: [0],
  accepts(node, constant) {
    const weight = constant(1);
    const bias = node.input(2);
    if (!weight || !others(node) || (bias && !bias.tensor)) return false;
    const { scale, zeroPoint, axis } = weight.quantization;
    return weight.codes.dtype === 'int8' && zeroPoint.every((zero) => zero === 0) && scale.every((value) => value > 0) && (scale.length === 1 || axis === axisOf(node));
  },
});

const matmulWeight = weighted(() => 1, (node) => node.input(1)!.tensor!.shape.length === 2).accepts!;

const same: Int8Rule = { grid: 'same', inputs: [0] };
const free: Int8Rule = { grid: 'any', inputs: [0] };

const isZero = (node: Node, index: number): boolean => {
  const tensor = node.input(index)?.tensor;
  return tensor === undefined || (tensor.kind === 'dense' && numbersOf(tensor as Parameters<typeof numbersOf>[0]).every((value) => value === 0));
};

const bound = (node: Node, attribute: string, index: number): number | undefined => {
  const tensor = node.input(index)?.tensor;
  return node.float(attribute) ?? (tensor?.kind === 'dense' ? numbersOf(tensor as Parameters<typeof numbersOf>[0])[0] : undefined);
};

/** The activations that TFLite fuses. */
export function isFusable(node: Node): boolean {
  const name = opNameOf(node);
  return name === 'Relu' || (name === 'Clip' && bound(node, 'min', 1) === 0 && [undefined, 6].includes(bound(node, 'max', 2)));
}

export const int8Rules: Readonly<Record<string, Int8Rule>> = {
  Conv: weighted(() => 0),
  ConvTranspose: weighted(() => 1, (node) => node.int('group', 1) === 1),
  Gemm: weighted((node) => (node.int('transB', 0) === 1 ? 0 : 1), (node) => {
    const bias = node.input(2)?.tensor;
    const plain = node.int('transA', 0) === 0 && node.float('alpha', 1) === 1 && node.float('beta', 1) === 1;
    // One number for each output.
    return plain && (!bias || (bias.shape.length > 0 && elementCount(bias.shape) === bias.shape.at(-1)));
  }),
  MatMul: {
    grid: 'any',
    inputs: [0, 1],
    accepts: (node, constant) => (constant(1) ? matmulWeight(node, constant) : !node.inputs.some((value) => value?.tensor)),
  },
  Add: { grid: 'any' }, Sub: { grid: 'any' }, Mul: { grid: 'any' },
  GlobalAveragePool: free, ReduceMean: free,
  Relu: free, LeakyRelu: free, HardSwish: free,
  Clip: { ...free, accepts: isFusable },
  Sigmoid: { ...same, grid: fixed(1 / 256, -128) },
  Softmax: { ...same, grid: fixed(1 / 256, -128) },
  Tanh: { ...same, grid: fixed(1 / 128, 0) },
  MaxPool: same,
  AveragePool: { ...same, accepts: (node) => (node.ints('pads') ?? []).every((pad) => pad === 0) && node.int('ceil_mode', 0) === 0 },
  Identity: same, Reshape: same, Flatten: same, Squeeze: same, Unsqueeze: same, Transpose: same, Slice: same, Split: same, Tile: same,
  DepthToSpace: same, SpaceToDepth: same, Resize: same, Gather: same,
  Pad: { ...same, accepts: (node) => ['constant', 'reflect'].includes(node.string('mode', 'constant')) && isZero(node, 2) && node.float('value', 0) === 0 },
  Concat: { grid: 'any' },
};
