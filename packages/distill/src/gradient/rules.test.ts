/** Every rule of the table against central differences. */
import { attribute, type AttributeInput, type GraphBuilder, type Shape, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import { gradientRules } from './rules.js';
import { type GradientCase, gradientError } from './testing.js';

type Attributes = Readonly<Record<string, AttributeInput>>;

/** One operator on float64 inputs. */
const op = (opType: string, inputs: readonly Shape[], attributes: Attributes = {}, more: Partial<GradientCase> & { domain?: string } = {}): GradientCase => ({
  name: `${more.domain ? `${more.domain}.` : ''}${opType} ${inputs.map((shape) => `[${shape.join()}]`).join(' ')} ${JSON.stringify(attributes, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value))}`.trim(),
  inputs,
  build: (b, values) => b.op(opType, values, attributes, more.domain ? { domain: more.domain } : {}),
  ...more,
});

/** Cosines and sines of two angles at four places. */
const tables = (b: GraphBuilder): Value[] => [Math.cos, Math.sin].map((wave) => b.constant('float64', Array.from({ length: 8 }, (_, i) => wave((1 + (i >> 1)) * (i % 2 ? 0.3 : 1.1))), [4, 2]));

const X: Shape = [3, 4];
const positive = (u: number): number => 0.75 + 0.5 * u;
/** Away from kinks at 0 and ±1. */
const away = (u: number): number => (u < 0 ? u - 0.1 : u + 0.1);

const cases: readonly (GradientCase & { readonly covers?: string })[] = [
  ...['Asin', 'Acos', 'Atanh'].map((name) => op(name, [X], {}, { draw: (u) => 0.8 * u })),
  ...['Asinh', 'Atan', 'Cos', 'Cosh', 'Erf', 'Exp', 'Sigmoid', 'Sin', 'Sinh', 'Softplus', 'Softsign', 'Tan', 'Tanh', 'Neg', 'Identity', 'Mish'].map((name) => op(name, [X])),
  ...['Abs', 'Relu', 'LeakyRelu', 'Selu', 'Elu', 'Celu'].map((name) => op(name, [X], {}, { draw: away })),
  op('Dropout', [X]), op('Shrink', [X], { lambd: attribute.float(0.3) }),
  ...['Log', 'Sqrt', 'Reciprocal'].map((name) => op(name, [X], {}, { draw: positive })),
  op('Acosh', [X], {}, { draw: (u) => 2.5 + u }),
  op('HardSigmoid', [X], {}, { draw: (u) => 4.3 * u }), op('HardSwish', [X], {}, { draw: (u) => 4.3 * u }),
  op('LeakyRelu', [X], { alpha: 0.3 }), op('Elu', [X], { alpha: 0.7 }), op('Celu', [X], { alpha: 0.7 }), op('ThresholdedRelu', [X], { alpha: 0.2 }),
  op('Gelu', [X]), op('Gelu', [X], { approximate: 'tanh' }), op('Swish', [X], { alpha: 1.3 }, { opset: 24 }),
  op('FastGelu', [X, [4]], {}, { domain: 'com.microsoft' }), op('Gelu', [X], {}, { domain: 'com.microsoft' }), op('QuickGelu', [X], {}, { domain: 'com.microsoft' }),
  ...['Add', 'Sub', 'Mul'].flatMap((name) => [op(name, [X, X]), op(name, [X, [4]]), op(name, [[3, 1], [2, 1, 4]]), op(name, [X, []])]),
  op('Div', [X, [3, 1]], {}, { draw: positive }), op('Pow', [X, [4]], {}, { draw: positive }),
  op('PRelu', [[2, 3, 4], [3, 1]], {}, { draw: away }),
  op('Max', [X, [4], [3, 1]]), op('Min', [X, X]), op('Mean', [X, [4]]), op('Sum', [X, [4], [3, 1]]),
  ...[false, true].map((turned): GradientCase => ({
    name: `Mul by its own sigmoid${turned ? ', turned' : ''}`, inputs: [X],
    build(b, [x]) {
      const gate = b.op('Sigmoid', [x]);
      return b.op('Add', [b.op('Mul', turned ? [gate, x] : [x, gate]), gate]);
    },
  })),
  { name: 'Clip', inputs: [X], build: (b, [x]) => b.op('Clip', [x, b.constant('float64', -0.5), b.constant('float64', 0.4)]) },
  { name: 'Where', inputs: [X, [4]], build: (b, [x, y]) => b.op('Where', [b.op('Greater', [x, b.constant('float64', 0.1)]), x, y]) },
  { name: 'Cast', inputs: [X], build: (b, [x]) => b.op('Cast', [x], { to: 11 }) },
  { name: 'CastLike', inputs: [X], build: (b, [x]) => b.op('CastLike', [x, x]) },
  { name: 'Add of unknown sizes, one of them 1', inputs: [[3, 1], X], symbols: [['a', 'b'], ['c', 'd']], build: (b, [x, y]) => b.op('Mul', [x, y]) },
  { name: 'Add of the same symbol', inputs: [X, X], symbols: [['a', 4], ['a', 4]], build: (b, [x, y]) => b.op('Mul', [x, y]) },

  ...['ReduceL1', 'ReduceL2', 'ReduceLogSumExp', 'ReduceMax', 'ReduceMean', 'ReduceMin', 'ReduceSum', 'ReduceSumSquare', 'ReduceLogSum', 'ReduceProd'].flatMap((name): GradientCase[] => [
    op(name, [[2, 3, 4]], {}, { draw: positive }),
    { name: `${name} of axes`, inputs: [[2, 3, 4]], draw: positive, build: (b, [x]) => b.op(name, [x, b.constant('int64', [-1, 0])], { keepdims: 0 }) },
    { name: `${name} of an unknown batch`, inputs: [[2, 3, 4]], symbols: [['n', 3, 'm']], draw: positive, build: (b, [x]) => b.op(name, [x, b.constant('int64', [1])]) },
  ]),
  op('Softmax', [[2, 3, 4]]), op('Softmax', [[2, 3, 4]], { axis: 1 }), op('LogSoftmax', [[2, 3, 4]]), op('LogSoftmax', [[2, 3, 4]], { axis: 0 }),
  ...[false, true].map((stacked): GradientCase => ({
    name: `Softmax of attention${stacked ? ', heads of a group below each other' : ''}`, inputs: [[2, 4, 3, 5], [2, stacked ? 2 : 4, 5, 3]],
    build(b, [scores, v]) {
      const weights = b.op('Softmax', [scores]);
      return b.op('MatMul', [stacked ? b.op('Reshape', [weights, b.constant('int64', [0, 2, -1, 5])]) : weights, v]);
    },
  })),
  { name: 'Softmax before a product that repeats it', inputs: [[3, 5], [2, 5, 3]], build: (b, [scores, v]) => b.op('MatMul', [b.op('Softmax', [scores]), v]) },
  { name: 'Softmax before a product with itself', inputs: [[4, 4]], build(b, [scores]) {
    const weights = b.op('Softmax', [scores]);
    return b.op('MatMul', [weights, weights]);
  } },
  { name: 'CumSum', inputs: [X], build: (b, [x]) => b.op('CumSum', [x, b.constant('int64', 1)], { exclusive: 1 }) },
  { name: 'CumSum backward', inputs: [X], build: (b, [x]) => b.op('CumSum', [x, b.constant('int64', 0)], { reverse: 1 }) },
  ...['mean', 'sum', 'none'].flatMap((reduction) => ['SoftmaxCrossEntropyLoss', 'NegativeLogLikelihoodLoss'].flatMap((loss): GradientCase[] => [
    { name: `${loss} ${reduction}`, inputs: [[5, 3]], build: (b, [x]) => b.op(loss, [x, b.constant('int64', [2, 0, 1, 1, 2])], { reduction }) },
    { name: `${loss} ${reduction}, a label ignored`, inputs: [[5, 3]], build: (b, [x]) => b.op(loss, [x, b.constant('int64', [2, -100, 1, 1, 2])], { reduction, ignore_index: -100 }) },
    { name: `${loss} ${reduction} over positions, weighted`, inputs: [[2, 3, 2]], build: (b, [x]) => b.op(loss, [x, b.constant('int64', [2, 0, 1, 1], [2, 2]), b.constant('float64', [1, 2, 3])], { reduction }) },
  ])),

  op('MatMul', [X, [4, 5]]), op('MatMul', [[2, 3, 4], [4, 5]]), op('MatMul', [[2, 3, 4], [2, 4, 5]]), op('MatMul', [[3, 4], [2, 4, 5]]), op('MatMul', [[5, 1, 3, 4], [2, 4, 2]]),
  op('MatMul', [[4], [4, 5]]), op('MatMul', [X, [4]]), op('MatMul', [[4], [4]]), op('MatMul', [[2, 3, 4], [4]]),
  op('MatMul', [[2, 3, 4], [4, 5]], {}, { symbols: [['b', 'n', 4], [4, 5]] }),
  ...[0, 1].flatMap((transA) => [0, 1].map((transB) => op('Gemm', [transA ? [4, 3] : X, transB ? [5, 4] : [4, 5], [5]], { transA, transB, alpha: attribute.float(0.5), beta: attribute.float(2) }))),
  ...[0, 1].flatMap((transA) => [0, 1].flatMap((transB) => [
    op('FusedMatMul', [transA ? [2, 4, 3] : [2, 3, 4], transB ? [2, 5, 4] : [2, 4, 5]], { transA, transB, alpha: attribute.float(0.5) }, { domain: 'com.microsoft' }),
    op('FusedMatMul', [transA ? [2, 4, 3] : [2, 3, 4], transB ? [5, 4] : [4, 5]], { transA, transB }, { domain: 'com.microsoft' }),
  ])),
  op('TransposeMatMul', [[4, 3], [4, 5]], { transA: 1 }, { domain: 'com.microsoft' }),
  op('Einsum', [[2, 3, 4], [2, 4, 5]], { equation: 'bij,bjk->bik' }), op('Einsum', [X, [4]], { equation: 'ij,j->i' }), op('Einsum', [[2, 3, 4], [3]], { equation: 'bij,i->b' }), op('Einsum', [X, [3, 2]], { equation: 'ij,ik' }),

  { name: 'Reshape', inputs: [X], build: (b, [x]) => b.op('Reshape', [x, b.constant('int64', [2, -1])]) },
  { name: 'Reshape of two unknown sizes', inputs: [[2, 3, 4]], symbols: [['b', 'n', 4]], build: (b, [x]) => b.op('Reshape', [x, b.constant('int64', [0, 0, 2, 2])]) },
  op('Flatten', [[2, 3, 4]], { axis: 2 }), op('Transpose', [[2, 3, 4]], { perm: [2, 0, 1] }), op('Transpose', [X]),
  { name: 'Squeeze', inputs: [[3, 1, 4]], build: (b, [x]) => b.op('Squeeze', [x, b.constant('int64', [1])]) },
  { name: 'Unsqueeze', inputs: [X], build: (b, [x]) => b.op('Unsqueeze', [x, b.constant('int64', [0, -1])]) },
  { name: 'Expand', inputs: [[3, 1]], build: (b, [x]) => b.op('Expand', [x, b.constant('int64', [2, 1, 4])]) },
  { name: 'Tile', inputs: [[2, 3]], build: (b, [x]) => b.op('Tile', [x, b.constant('int64', [3, 2])]) },
  op('Concat', [X, [3, 2], [3, 1]], { axis: 1 }), op('Concat', [X, [2, 4]], { axis: -2 }, { symbols: [['a', 4], ['b', 4]] }),
  { name: 'Split', inputs: [[3, 6]], build: (b, [x]) => {
    const [first, , last] = b.nodes('Split', [x, b.constant('int64', [1, 2, 3])], { axis: 1 }, { outputCount: 3 });
    return b.op('Concat', [first, last], { axis: 1 });
  } },
  { name: 'Slice', inputs: [[4, 6]], build: (b, [x]) => b.op('Slice', [x, b.constant('int64', [1, -4]), b.constant('int64', [3, 9999]), b.constant('int64', [0, -1])]) },
  { name: 'Slice without axes', inputs: [[4, 6]], build: (b, [x]) => b.op('Slice', [x, b.constant('int64', [1]), b.constant('int64', [-1])]) },
  ...[2, 3, -1, -2].map((step): GradientCase => ({
    name: `Slice by ${step}`, inputs: [[4, 7, 2]],
    build: (b, [x]) => b.op('Slice', [x, b.constant('int64', [step < 0 ? 99 : 1]), b.constant('int64', [step < 0 ? -999 : 99]), b.constant('int64', [1]), b.constant('int64', [step])]),
  })),
  { name: 'Slice of an unknown size', inputs: [[4, 6]], symbols: [['n', 'm']], build: (b, [x]) => b.op('Slice', [x, b.constant('int64', [-2]), b.constant('int64', [99]), b.constant('int64', [1])]) },
  { name: 'Pad', inputs: [X], build: (b, [x]) => b.op('Pad', [x, b.constant('int64', [1, 0, 0, 2])]) },
  { name: 'Pad of an axis', inputs: [X], build: (b, [x]) => b.op('Pad', [x, b.constant('int64', [1, 2]), null, b.constant('int64', [-1])]) },
  { name: 'ScatterElements', inputs: [X, [2, 2]], build: (b, [x, y]) => b.op('ScatterElements', [x, b.constant('int64', [3, 0, -1, 1], [2, 2]), y], { axis: 1 }) },
  { name: 'ScatterElements that adds', inputs: [X, [3, 2]], build: (b, [x, y]) => b.op('ScatterElements', [x, b.constant('int64', [1, 1, 0, 2, 2, 2], [3, 2]), y], { axis: 1, reduction: 'add' }) },
  { name: 'TopK', inputs: [X], build: (b, [x]) => b.nodes('TopK', [x, b.constant('int64', [2])], { axis: 1 }, { outputCount: 2 })[0]! },
  op('DepthToSpace', [[2, 8, 2, 3]], { blocksize: 2 }), op('DepthToSpace', [[2, 8, 2, 3]], { blocksize: 2, mode: 'CRD' }), op('SpaceToDepth', [[2, 3, 4, 6]], { blocksize: 2 }),
  { name: 'Trilu', inputs: [[4, 4]], build: (b, [x]) => b.op('Trilu', [x, b.constant('int64', 1)], { upper: 0 }) },
  { name: 'Gather, rows twice', inputs: [X], build: (b, [x]) => b.op('Gather', [x, b.constant('int64', [1, 0, 1, -1, 1])]) },
  { name: 'Gather of a matrix of indices', inputs: [[5, 2, 3]], build: (b, [x]) => b.op('Gather', [x, b.constant('int64', [4, 0, 0, 2], [2, 2])]) },
  { name: 'Gather on the last axis', inputs: [[2, 3, 4]], build: (b, [x]) => b.op('Gather', [x, b.constant('int32', [3, 3, 0], [1, 3])], { axis: -1 }) },
  { name: 'Gather of one', inputs: [[2, 3, 4]], build: (b, [x]) => b.op('Gather', [x, b.constant('int64', 1)], { axis: 1 }) },
  { name: 'GatherElements', inputs: [X], build: (b, [x]) => b.op('GatherElements', [x, b.constant('int64', [3, 3, 0, 1, 2, -1], [3, 2])], { axis: 1 }) },

  { name: 'GatherND', inputs: [[3, 4, 2]], build: (b, [x]) => b.op('GatherND', [x, b.constant('int64', [2, 1, 0, 3, 2, 1, -1, -1], [4, 2])]) },
  { name: 'GatherND of rows', inputs: [[5, 2]], symbols: [['n', 2]], build: (b, [x]) => b.op('GatherND', [x, b.constant('int64', [2, 0, 2], [3, 1])]) },
  { name: 'GatherND of single numbers', inputs: [[5]], symbols: [['n']], build: (b, [x]) => b.op('GatherND', [x, b.constant('int64', [2, 0, 2], [3, 1])]) },
  { name: 'GatherND of batches', inputs: [[2, 3, 4]], symbols: [['n', 'm', 4]], build: (b, [x]) => b.op('GatherND', [x, b.constant('int64', [2, 1], [2, 1])], { batch_dims: 1 }) },
  { name: 'ScatterND', inputs: [[4, 2], [2, 2]], build: (b, [x, y]) => b.op('ScatterND', [x, b.constant('int64', [3, 0], [2, 1]), y]) },
  { name: 'ScatterND that adds', inputs: [[4, 2], [3, 2]], build: (b, [x, y]) => b.op('ScatterND', [x, b.constant('int64', [3, 0, 3], [3, 1]), y], { reduction: 'add' }) },
  ...['linear', 'cubic', 'nearest'].flatMap((mode): GradientCase[] => [
    { name: `Resize ${mode} to sizes`, inputs: [[1, 2, 4, 3]], build: (b, [x]) => b.op('Resize', [x, null, null, b.constant('int64', [1, 2, 7, 5])], { mode }) },
    { name: `Resize ${mode} by scales`, inputs: [[2, 1, 4, 3]], symbols: [['n', 1, 'h', 'w']], build: (b, [x]) => b.op('Resize', [x, null, b.constant('float32', [1, 1, 0.6, 2])], { mode, coordinate_transformation_mode: 'asymmetric' }) },
  ]),
  ...[0, 1].flatMap((interleaved): GradientCase[] => [
    { name: `RotaryEmbedding ${interleaved}`, inputs: [[2, 3, 8]], build: (b, [x]) => b.op('RotaryEmbedding', [x, ...tables(b), b.constant('int64', [0, 1, 2, 3, 1, 2], [2, 3])], { interleaved, num_heads: 2 }) },
    { name: `com.microsoft.RotaryEmbedding ${interleaved}`, inputs: [[2, 3, 8]], build: (b, [x]) => b.op('RotaryEmbedding', [x, b.constant('int64', [0, 1, 2, 3, 1, 2], [2, 3]), ...tables(b)], { interleaved, scale: attribute.float(1.5) }, { domain: 'com.microsoft' }) },
  ]),
  { name: 'com.microsoft.RotaryEmbedding of a part', inputs: [[1, 3, 12]], build: (b, [x]) => b.op('RotaryEmbedding', [x, b.constant('int64', [1]), ...tables(b)], { num_heads: 2, rotary_embedding_dim: 4 }, { domain: 'com.microsoft' }) },

  op('Conv', [[2, 3, 6, 5], [4, 3, 3, 2], [4]], { kernel_shape: [3, 2] }),
  op('Conv', [[2, 4, 6, 5], [6, 2, 3, 3], [6]], { group: 2, pads: [1, 1, 1, 1] }),
  op('Conv', [[1, 3, 7, 6], [3, 1, 3, 3]], { group: 3, pads: [1, 0, 1, 1], strides: [2, 2] }),
  ...[6, 7, 8].map((size) => op('Conv', [[1, 2, size, 7], [3, 2, 3, 3]], { pads: [1, 1, 1, 1], strides: [2, 3] }, { symbols: [['n', 2, 'h', 'w'], [3, 2, 3, 3]] })),
  op('Conv', [[1, 2, 9], [3, 2, 3]], { dilations: [2], pads: [2, 1], strides: [3] }),
  op('Conv', [[2, 3, 4, 4], [5, 3, 1, 1]]), op('Conv', [[1, 2, 5, 5], [2, 2, 3, 3]], { auto_pad: 'SAME_UPPER', strides: [2, 2] }), op('Conv', [[1, 2, 4, 4], [2, 2, 2, 2]], { pads: [3, 3, 3, 3] }),
  op('Conv', [[1, 2, 4, 3, 3], [2, 2, 2, 2, 2]]),
  op('ConvTranspose', [[2, 3, 4, 3], [3, 2, 3, 3], [2]], { strides: [2, 1], pads: [1, 0, 1, 1], output_padding: [1, 0] }), op('ConvTranspose', [[1, 4, 3], [4, 1, 2]], { group: 2, strides: [2] }),
  op('MaxPool', [[2, 3, 6, 5]], { kernel_shape: [2, 2], strides: [2, 2] }), op('MaxPool', [[1, 2, 6, 5]], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
  op('AveragePool', [[2, 3, 6, 5]], { kernel_shape: [2, 2], strides: [2, 2] }), op('AveragePool', [[1, 2, 6, 5]], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
  op('AveragePool', [[1, 2, 6, 5]], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], count_include_pad: 1 }),
  op('GlobalAveragePool', [[2, 3, 4, 5]]), op('GlobalMaxPool', [[2, 3, 4, 5]]),

  op('LayerNormalization', [[2, 3, 4], [4], [4]]), op('LayerNormalization', [[2, 3, 4], [3, 4]], { axis: 1 }), op('RMSNormalization', [[2, 3, 4], [4]]), op('SimplifiedLayerNormalization', [[2, 3, 4], [4]]),
  { name: 'BatchNormalization of the batch', inputs: [[3, 2, 4], [2], [2]], build: (b, [x, scale, bias]) => b.nodes('BatchNormalization', [x, scale, bias, b.constant('float64', [0, 0]), b.constant('float64', [1, 1])], { training_mode: 1 }, { outputCount: 3 })[0]! },
  { name: 'BatchNormalization with stored statistics', inputs: [[3, 2, 4], [2], [2]], build: (b, [x, scale, bias]) => b.op('BatchNormalization', [x, scale, bias, b.constant('float64', [0.1, -0.2]), b.constant('float64', [1.5, 0.5])]) },
  op('LpNormalization', [[2, 3, 4]]), op('LpNormalization', [[2, 3, 4]], { p: 1, axis: 1 }, { draw: away }), op('MeanVarianceNormalization', [[2, 3, 2, 2]]),
  op('InstanceNormalization', [[2, 3, 4, 2], [3], [3]]), op('GroupNormalization', [[2, 4, 3], [4], [4]], { num_groups: 2 }),
];

const engine = referenceEngine();

describe('gradients against central differences', () => {
  test.each(cases.map((item) => [item.name, item] as const))('%s', async (_, item) => {
    expect(await gradientError(engine, item)).toBeLessThan(1e-6);
  });

  test('no rule is without a case', () => {
    // Those that round are no derivatives: see rules/quantized.test.ts.
    const tried = new Set([...cases.map(({ name }) => name.split(/[ ,]/)[0]!), 'QuantizeLinear', 'DequantizeLinear']);
    expect(Object.keys(gradientRules).filter((name) => !tried.has(name))).toEqual([]);
  });
});

