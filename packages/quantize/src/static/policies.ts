/**
 * Which operators are computed on integers, by the runtime that will read the file. A pair of QuantizeLinear and DequantizeLinear around
 * an operator that the runtime does not fuse costs time and accuracy and gives nothing, so those have no row.
 */
import type { Node } from '@penjing/core';
import type { ComputeRule, MoveRule, Policy, ProductRule } from './rule.js';

const conv: ProductRule = { kind: 'product', activations: [0], weight: 1, axis: () => 0, bias: 2, output: 'integer' };

const gemm: ProductRule = {
  kind: 'product', activations: [0], weight: 1, bias: 2, output: 'either',
  axis: (node) => (node.int('transB', 0) === 1 ? 0 : 1),
  refuse: (node) => (node.int('transA', 0) === 0 && node.float('alpha', 1) === 1 && (!node.input(2) || node.float('beta', 1) === 1) ? undefined : 'its Gemm has transA, alpha or beta'),
};

const matmul: ProductRule = {
  kind: 'product', activations: [0], weight: 1, output: 'either', addsBias: true,
  // Of a batch of matrices the last axis is not one of channels alone.
  axis: (node) => (node.input(1)?.tensor?.shape.length === 2 ? 1 : undefined),
};

const compute: ComputeRule = { kind: 'compute' };
const unary: ComputeRule = { kind: 'compute', activations: [0] };
const share: ComputeRule = { kind: 'compute', activations: [0], range: { min: 0, max: 1 } };
const move: MoveRule = { kind: 'move', activations: [0] };

/** ONNX Runtime reads codes of int8 next to a constant as uint8 and then does not fuse the sum: measured with 1.30. */
const sum: ComputeRule = { kind: 'compute', refuse: (node, { activations }) => (activations === 'int8' && node.inputs.some((value) => value?.tensor) ? 'it has a constant operand' : undefined) };

const onlyOutput = (node: Node): string | undefined => (node.outputs.filter(({ name }) => name !== '').length === 1 ? undefined : 'its indices are read');
const nearest = (node: Node): string | undefined => (node.string('mode', 'nearest') === 'nearest' ? undefined : 'it interpolates');

/**
 * What the CPU provider of ONNX Runtime 1.30 turns into integer kernels, found by loading each operator between pairs and reading the
 * optimized graph: QLinearConv, QLinearMatMul, MatMulIntegerToFloat, QGemm, QLinearAdd, QLinearMul, QLinearSigmoid, QLinearLeakyRelu,
 * QLinearSoftmax, QLinearAveragePool, QLinearGlobalAveragePool, QLinearConcat, and operators that move codes. Not fused: Sub, Div, Max,
 * Tanh, HardSigmoid, PRelu, ReduceMean, Pad, SpaceToDepth, ConvTranspose and the norms.
 */
export const onnxruntimePolicy: Policy = {
  Conv: conv, Gemm: gemm, MatMul: matmul,
  Add: sum, Mul: sum, Concat: compute,
  AveragePool: unary, GlobalAveragePool: unary, LeakyRelu: unary, Sigmoid: share, Softmax: share,
  MaxPool: { ...move, refuse: onlyOutput }, Resize: { ...move, refuse: nearest },
  Reshape: move, Transpose: move, Squeeze: move, Unsqueeze: move, Flatten: move, Slice: move, Split: move, Gather: move, DepthToSpace: move, Tile: move,
  Expand: move, Identity: move,
};

const always = { output: 'integer' } as const;

/** What TensorFlow Lite computes on int8; see `int8-rules.ts` of graph-io, which writes it. */
export const tflitePolicy: Policy = {
  Conv: conv, Gemm: { ...gemm, ...always }, MatMul: { ...matmul, ...always },
  ConvTranspose: { ...conv, axis: () => 1, refuse: (node) => (node.int('group', 1) === 1 ? undefined : 'it has groups') },
  Add: compute, Sub: compute, Mul: compute, Concat: compute,
  GlobalAveragePool: unary, ReduceMean: unary, Relu: unary, LeakyRelu: unary, HardSwish: unary, Clip: unary,
  Sigmoid: share, Softmax: share, Tanh: { ...unary, range: { min: -1, max: 1 } },
  MaxPool: { ...move, refuse: onlyOutput }, AveragePool: move, Resize: move, Pad: move,
  Reshape: move, Transpose: move, Squeeze: move, Unsqueeze: move, Flatten: move, Slice: move, Split: move, Gather: move, DepthToSpace: move, SpaceToDepth: move,
  Tile: move, Identity: move,
};
