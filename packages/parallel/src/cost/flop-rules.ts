/** How much each operator computes; what has no row costs the bytes it touches. */
import type { Node, OpName, Shape } from '@penjing/core';
import type { Work, WorkKind } from './work.js';

/** A node whose shapes are numbers. */
export interface SizedNode {
  readonly node: Node;
  /** Undefined for an omitted input and where inference knows nothing. */
  shape(index: number): Shape | undefined;
  output(index: number): Shape | undefined;
  /** Whether an input is a weight, itself or through operators on weights alone. */
  isWeight(index: number): boolean;
}

export type FlopRule = (node: SizedNode) => Work | undefined;

export const sizeOf = (shape: Shape | undefined): number => shape?.reduce((product, dim) => product * dim, 1) ?? 0;

const last = (shape: Shape | undefined, back = 1): number => shape?.[shape.length - back] ?? 0;

/** 2 × elements of the output × length of the sums. */
function product(kind: WorkKind, left = 0, right = 1, inner = (at: SizedNode): number => last(at.shape(left))): FlopRule {
  return (at) => {
    const out = at.output(0);
    const weight = at.isWeight(right) || at.isWeight(left);
    return { kind: weight || kind !== 'product' ? kind : 'attention', flops: 2 * sizeOf(out) * inner(at), rows: weight ? sizeOf(out) / Math.max(1, last(out)) : last(out, 2) };
  };
}

/** x: (N, C, …), W: (M, C/group, …), y: (N, M, …): 2 × |y| × C/group × kernel. */
function convolution(weight: number, integer: boolean): FlopRule {
  return (at) => {
    const kernel = at.shape(weight);
    const depthwise = kernel?.[1] === 1 && (at.shape(0)?.[1] ?? 1) > 1;
    return { kind: integer ? 'integer' : depthwise ? 'depthwise' : 'convolution', flops: 2 * sizeOf(at.output(0)) * sizeOf(kernel?.slice(1)), rows: sizeOf(kernel?.slice(1)) };
  };
}

/** Every element of x meets every weight of its channel: W is (C, M/group, …). */
const transposedConvolution: FlopRule = (at) => ({ kind: 'convolution', flops: 2 * sizeOf(at.shape(0)) * sizeOf(at.shape(1)?.slice(1)) });

/** 2 × the product of the sizes of all indices. */
const einsum: FlopRule = (at) => {
  const equation = at.node.string('equation', '').replaceAll(' ', '');
  const sizes = new Map<string, number>();
  equation.split('->')[0]!.split(',').forEach((term, i) => [...term].forEach((letter, axis) => sizes.set(letter, at.shape(i)?.[axis] ?? 1)));
  return { kind: 'attention', flops: 2 * [...sizes.values()].reduce((all, size) => all * size, 1) };
};

/** x: (steps, batch, inputs), R: (directions, gates × hidden, hidden). */
const recurrent: FlopRule = (at) => {
  const x = at.shape(0);
  return { kind: 'product', flops: 2 * (x?.[0] ?? 1) * (x?.[1] ?? 1) * (sizeOf(at.shape(1)) + sizeOf(at.shape(2))), rows: x?.[1] ?? 1 };
};

/** Scores and their product with the values: 4 × queries × keys × width, over batch and heads. */
function attention(keyRows: (at: SizedNode) => number): FlopRule {
  return (at) => {
    const query = at.shape(0);
    return { kind: 'fusedAttention', flops: 4 * sizeOf(query) * keyRows(at), rows: last(query, 2) };
  };
}

/** Keys of the present cache when it is given out, else those of the input. */
const cachedKeys = (at: SizedNode): number => last(at.output(1), 2) || last(at.shape(1), 2) || last(at.shape(0), 2);

/** `k` experts for each token: what they hold, twice; those that no token chooses are not read. */
const experts: FlopRule = (at) => {
  const tokens = sizeOf(at.shape(0)) / Math.max(1, last(at.shape(0)));
  const packed = at.node.opType === 'QMoE';
  const perExpert = [2, packed ? 5 : 4, packed ? 8 : 6].map((i) => sizeOf(at.shape(i)?.slice(1))).reduce((a, b) => a + b, 0);
  const values = packed ? 8 / at.node.int('expert_weight_bits', 4) : 1;
  const [k, all] = [at.node.int('k', 1), at.shape(2)?.[0] ?? 1];
  return { kind: packed ? 'packed' : 'product', flops: 2 * tokens * k * perExpert * values, rows: tokens, read: 1 - (1 - Math.min(1, k / all)) ** tokens };
};

const packedProduct: FlopRule = (at) => {
  const rows = sizeOf(at.shape(0)) / Math.max(1, last(at.shape(0)));
  return { kind: 'packed', flops: 2 * rows * at.node.int('N', 0) * at.node.int('K', 0), rows };
};

const each = (kind: WorkKind, flops: number): FlopRule => (at) => ({ kind, flops: flops * Math.max(sizeOf(at.output(0)), sizeOf(at.shape(0))) });
const window: FlopRule = (at) => ({ kind: 'elementwise', flops: sizeOf(at.output(0)) * sizeOf(at.node.ints('kernel_shape') ?? [1]) });
const simple = each('elementwise', 1);
const heavy = each('transcendental', 1);

export const flopRules: { readonly [Op in OpName]?: FlopRule } = {
  MatMul: product('product'),
  Gemm: product('product', 0, 1, (at) => last(at.shape(0), at.node.int('transA', 0) ? 2 : 1)),
  'com.microsoft.FusedMatMul': product('product', 0, 1, (at) => last(at.shape(0), at.node.int('transA', 0) ? 2 : 1)),
  'com.microsoft.FusedGemm': product('product', 0, 1, (at) => last(at.shape(0), at.node.int('transA', 0) ? 2 : 1)),
  'com.microsoft.TransposeMatMul': product('product'),
  MatMulInteger: product('integer'),
  'com.microsoft.MatMulIntegerToFloat': product('integer'),
  'com.microsoft.DynamicQuantizeMatMul': product('integer'),
  QLinearMatMul: product('integer', 0, 3),
  'com.microsoft.QGemm': product('integer', 0, 3),
  'com.microsoft.MatMulNBits': packedProduct,
  Einsum: einsum,
  Conv: convolution(1, false),
  'com.microsoft.FusedConv': convolution(1, false),
  ConvInteger: convolution(1, true),
  QLinearConv: convolution(3, true),
  ConvTranspose: transposedConvolution,
  LSTM: recurrent,
  GRU: recurrent,
  RNN: recurrent,
  Attention: attention(cachedKeys),
  'com.microsoft.GroupQueryAttention': attention(cachedKeys),
  'com.microsoft.MultiHeadAttention': attention(cachedKeys),
  'com.microsoft.MoE': experts,
  'com.microsoft.QMoE': experts,
  MaxPool: window,
  AveragePool: window,
  Add: simple, Sub: simple, Mul: simple, Relu: simple, LeakyRelu: simple, PRelu: simple, Clip: simple, Neg: simple, Abs: simple, Max: simple, Min: simple, Sum: simple,
  Where: simple, BatchNormalization: simple, ReduceSum: simple, ReduceMean: simple, ReduceMax: simple, GlobalAveragePool: simple, Cast: simple,
  QuantizeLinear: simple, DequantizeLinear: simple, DynamicQuantizeLinear: each('elementwise', 3), Resize: each('elementwise', 4),
  'com.microsoft.QLinearAdd': simple, 'com.microsoft.QLinearGlobalAveragePool': simple,
  Div: heavy, Sqrt: heavy, Pow: heavy, Exp: heavy, Log: heavy, Erf: heavy, Tanh: heavy, Sigmoid: heavy, Sin: heavy, Cos: heavy, Softplus: heavy,
  HardSwish: simple, Gelu: heavy, Softmax: heavy, LogSoftmax: heavy,
  'com.microsoft.Gelu': heavy, 'com.microsoft.FastGelu': heavy, 'com.microsoft.BiasGelu': heavy, 'com.microsoft.QuickGelu': heavy,
  LayerNormalization: each('elementwise', 4), RMSNormalization: each('elementwise', 4), SimplifiedLayerNormalization: each('elementwise', 4),
  'com.microsoft.SkipLayerNormalization': each('elementwise', 5), 'com.microsoft.SkipSimplifiedLayerNormalization': each('elementwise', 5),
  'com.microsoft.RotaryEmbedding': each('elementwise', 3), RotaryEmbedding: each('elementwise', 3), InstanceNormalization: each('elementwise', 4), GroupNormalization: each('elementwise', 4),
};

/** Views: the bytes stay where they are. */
export const freeOperators: ReadonlySet<string> = new Set<OpName>(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity', 'Shape', 'Size', 'Constant', 'Dropout']);

/** Operators that read of their first input only what they give out. */
export const picking: ReadonlySet<string> = new Set<OpName>(['Gather', 'GatherND', 'GatherElements', 'Slice', 'Split', 'com.microsoft.GatherBlockQuantized']);
