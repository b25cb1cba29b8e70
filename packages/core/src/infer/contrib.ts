/** Shape rules of com.microsoft operators. */
import type { DType } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import type { Dim } from '../shape.js';
import { conv, globalPool, pool } from './conv.js';
import { addDims, broadcastAll, floorDivideDims, multiplyDims } from './dims.js';
import { gemmShape, matmul, matmulShape } from './linalg.js';
import { gatherND, pad, range, unique } from './movement.js';
import { layerNorm } from './norm.js';
import { dequantize, quantize } from './quant.js';
import { reduce } from './reduce.js';
import { axisIn, type Dims, type InferContext, type InferRule, likeInput, tensor, withDim } from './rule.js';

/** Inputs a and b broadcast to a fixed dtype or that of input a. */
const broadcastOf = (a: number, b: number, dtype?: DType): InferRule => (c) => [tensor(dtype ?? c.dtype(a), broadcastAll([c.shape(a), c.shape(b)]))];

/** The first output is like the input, so is the sum at `sum`. */
const skipNorm = (sum: number): InferRule => (c) => {
  const statistics = layerNorm(c)[1];
  return Array.from({ length: sum + 1 }, (_, i) => (i === 0 || i === sum ? { type: c.type(0) } : statistics));
};

/** (…, K) by a packed (N, K) weight. */
const packedMatmul: InferRule = (c) => {
  const a = c.shape(0);
  return [tensor(c.dtype(0), a && [...a.slice(0, -1), c.node.int('N') ?? null])];
};

const fusedMatmul: InferRule = (c) => {
  const turn = (shape: Dims | undefined, transposed: boolean): Dims | undefined =>
    (shape && transposed && shape.length >= 2 ? [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!] : shape);
  if (c.node.int('transBatchA', 0) || c.node.int('transBatchB', 0)) return [tensor(c.dtype(0))];
  const a = turn(c.shape(0), c.node.int('transA', 0) === 1);
  const b = turn(c.shape(1), c.node.int('transB', 0) === 1);
  return [tensor(c.dtype(0), matmulShape(c, a, b))];
};

/** Length of the cache after this call: unchanged when a fixed buffer is shared, else what the total says. */
function cacheLength(c: InferContext, past: number, added: Dim, total?: number): Dim {
  const known = total === undefined ? undefined : c.values(total)?.[0];
  const before = c.has(past) ? (c.shape(past)?.[2] ?? null) : 0;
  return known !== undefined && known !== null && typeof before !== 'number' ? known : addDims(before, added);
}

const groupQuery: InferRule = (c) => {
  const query = c.shape(0);
  const key = c.has(1) ? c.shape(1) : undefined;
  const [heads, groups] = [c.node.int('num_heads', 1), c.node.int('kv_num_heads', 1)];
  if (!query) return [tensor(c.dtype(0)), tensor(c.dtype(3) ?? c.dtype(0)), tensor(c.dtype(4) ?? c.dtype(0))];
  const [batch, seq, width] = query as [Dim, Dim, Dim];
  // Packed QKV holds heads + 2*groups heads.
  const size = c.has(1) ? floorDivideDims(width, heads) : floorDivideDims(width, heads + 2 * groups);
  const total = cacheLength(c, 3, key ? key[1]! : seq, 6);
  const present: Dims = [batch, groups, total, c.shape(3)?.[3] ?? size];
  return [
    tensor(c.dtype(0), [batch, seq, multiplyDims(heads, size)]),
    tensor(c.dtype(3) ?? c.dtype(0), present),
    tensor(c.dtype(4) ?? c.dtype(0), present),
    tensor(c.dtype(0), [batch, heads, seq, total]),
  ];
};

const multiHead: InferRule = (c) => {
  const [q, k, v] = [c.shape(0), c.shape(1), c.shape(2)];
  const heads = c.node.int('num_heads', 1);
  const dtype = c.dtype(0);
  if (!q) return [tensor(dtype), tensor(dtype), tensor(dtype)];
  const packed = q.length === 5;
  const width: Dim = packed ? multiplyDims(q[2]!, q[4]!) : q[2]!;
  const valueWidth: Dim = v ? (v.length === 4 ? multiplyDims(v[1]!, v[3]!) : (v[2] ?? null)) : k?.length === 5 ? multiplyDims(k[2]!, k[4]!) : width;
  const keys: Dim = k ? (k.length === 4 ? k[2]! : k[1]!) : q[1]!;
  const total = cacheLength(c, 6, keys);
  const present = (of: Dim): Dims => [q[0]!, heads, total, floorDivideDims(of, heads)];
  return [tensor(dtype, [q[0]!, q[1]!, valueWidth]), tensor(dtype, present(width)), tensor(dtype, present(valueWidth)), tensor(dtype, [q[0]!, heads, q[1]!, total])];
};

const attention = (past: number, dtype: (c: InferContext) => DType | undefined): InferRule => (c) => {
  const x = c.shape(0);
  const sizes = c.node.ints('qkv_hidden_sizes');
  const width = sizes?.[2] ?? floorDivideDims(c.shape(1)?.[1] ?? null, 3);
  const heads = c.node.int('num_heads', 1);
  const before = c.has(past) ? (c.shape(past)?.[3] ?? null) : 0;
  return [
    tensor(dtype(c), x && [x[0]!, x[1]!, width]),
    tensor(dtype(c), x && [2, x[0]!, heads, addDims(before, x[1]!), floorDivideDims(width, heads)]),
  ];
};

const gatherBlocks: InferRule = (c) => {
  const [data, indices] = [c.shape(0), c.shape(1)];
  const axis = data && axisIn(c.node.int('gather_axis', 0), data.length);
  if (!data || !indices || axis === undefined) return [tensor(c.dtype(2))];
  // uint8 holds several codes per byte along the last axis.
  const codes = c.dtype(0) === 'uint8' ? 8 / c.node.int('bits', 4) : 1;
  const full = withDim(data, data.length - 1, multiplyDims(data.at(-1)!, codes));
  return [tensor(c.dtype(2), [...full.slice(0, axis), ...indices, ...full.slice(axis + 1)])];
};

const concat: InferRule = (c) => {
  const first = c.shape(2);
  const axis = first && axisIn(c.node.int('axis', 0), first.length);
  if (!first || axis === undefined) return [tensor(c.dtype(1))];
  let total: Dim = 0;
  for (let i = 2; i < c.inputCount; i += 3) total = addDims(total, c.shape(i)?.[axis] ?? null);
  return [tensor(c.dtype(1), withDim(first, axis, total))];
};

const embed: InferRule = (c) => {
  const ids = c.shape(0);
  const dtype = c.dtype(2);
  const shape = ids && [...ids, c.shape(2)?.[1] ?? null];
  return [tensor(dtype, shape), tensor('int32', ids && [ids[0]!]), tensor(dtype, shape)];
};

const swiglu: InferRule = (c) => {
  const shape = c.shape(0);
  if (c.has(1) || !shape) return [{ type: c.type(0) }];
  return [tensor(c.dtype(0), withDim(shape, shape.length - 1, floorDivideDims(shape.at(-1)!, 2)))];
};

/** Channels-last pooling and convolution are not followed. */
const channelsFirst = (rule: InferRule): InferRule => (c) => (c.node.int('channels_last', 0) === 1 ? [tensor(c.dtype(0))] : rule(c));

export const contribRules = {
  'com.microsoft.Attention': attention(4, (c) => c.dtype(0)),
  'com.microsoft.QAttention': attention(8, (c) => c.dtype(3)),
  'com.microsoft.MultiHeadAttention': multiHead,
  'com.microsoft.DecoderMaskedMultiHeadAttention': (c) => [{ type: c.type(0) }],
  'com.microsoft.GroupQueryAttention': groupQuery,
  'com.microsoft.SparseAttention': (c) => [{ type: c.type(0) }, { type: c.type(3) }, { type: c.type(4) }],
  'com.microsoft.PagedAttention': (c) => [{ type: c.type(0) }, { type: c.type(3) }, { type: c.type(4) }],
  'com.microsoft.RotaryEmbedding': likeInput,
  'com.microsoft.SkipLayerNormalization': skipNorm(3),
  'com.microsoft.SkipSimplifiedLayerNormalization': skipNorm(3),
  'com.microsoft.EmbedLayerNormalization': embed,
  'com.microsoft.GroupNorm': likeInput,
  'com.microsoft.SkipGroupNorm': (c) => [{ type: c.type(0) }, { type: c.type(0) }],
  'com.microsoft.BiasAdd': likeInput,
  'com.microsoft.BiasGelu': likeInput,
  'com.microsoft.FastGelu': likeInput,
  'com.microsoft.Gelu': likeInput,
  'com.microsoft.QuickGelu': likeInput,
  'com.microsoft.BiasSoftmax': likeInput,
  'com.microsoft.BiasSplitGelu': swiglu,
  'com.microsoft.SwiGLU': swiglu,
  'com.microsoft.Inverse': likeInput,
  'com.microsoft.Trilu': likeInput,
  'com.microsoft.IsAllFinite': () => [tensor('bool', [])],
  'com.microsoft.NGramRepeatBlock': (c) => [{ type: c.type(1) }],
  'com.microsoft.ComplexMul': broadcastOf(0, 1),
  'com.microsoft.FusedMatMul': fusedMatmul,
  'com.microsoft.TransposeMatMul': fusedMatmul,
  'com.microsoft.FusedGemm': (c) => [tensor(c.dtype(0), gemmShape(c))],
  'com.microsoft.GemmFastGelu': matmul(),
  'com.microsoft.MatMulNBits': packedMatmul,
  'com.microsoft.MatMulBnb4': packedMatmul,
  'com.microsoft.MatMulFpQ4'(c) {
    const a = c.shape(0);
    return [tensor(c.dtype(0), a && [...a.slice(0, -1), c.values(2)?.[1] ?? null])];
  },
  'com.microsoft.MatMulInteger16': matmul('int32'),
  'com.microsoft.MatMulIntegerToFloat': (c) => matmul(c.dtype(2))(c),
  'com.microsoft.DynamicQuantizeMatMul': matmul('float32'),
  'com.microsoft.QGemm': (c) => [tensor(c.has(8) ? c.dtype(8) : 'float32', gemmShape(c, 3))],
  'com.microsoft.QLinearAdd': broadcastOf(0, 3),
  'com.microsoft.QLinearMul': broadcastOf(0, 3),
  'com.microsoft.MulInteger': broadcastOf(0, 2, 'int32'),
  'com.microsoft.QLinearWhere': (c) => [tensor(c.dtype(1), broadcastAll([c.shape(0), c.shape(1), c.shape(4)]))],
  'com.microsoft.QLinearSigmoid': likeInput,
  'com.microsoft.QLinearLeakyRelu': likeInput,
  'com.microsoft.QLinearSoftmax': likeInput,
  'com.microsoft.QLinearConcat': concat,
  'com.microsoft.QLinearConv': channelsFirst(conv(3, (c) => c.dtype(7))),
  'com.microsoft.QLinearAveragePool': channelsFirst((c) => pool(c).slice(0, 1)),
  'com.microsoft.QLinearGlobalAveragePool': channelsFirst(globalPool),
  'com.microsoft.QLinearReduceMean': reduce(),
  'com.microsoft.ReduceSumInteger': (c) => reduce()(c).map((out) => (out?.type?.kind === 'tensor' ? tensor('int32', out.type.shape) : out)),
  'com.microsoft.FusedConv': conv(1),
  'com.microsoft.QuantizeLinear': quantize,
  'com.microsoft.DequantizeLinear': dequantize,
  'com.microsoft.GatherBlockQuantized': gatherBlocks,
  'com.microsoft.GatherND': gatherND,
  'com.microsoft.MoE': likeInput,
  'com.microsoft.QMoE': likeInput,
  'com.microsoft.Range': range,
  'com.microsoft.Pad': pad,
  'com.microsoft.Unique': (c) => unique(c).filter((_, i) => i !== 1),
  'com.microsoft.ExpandDims'(c) {
    const shape = c.shape(0);
    const axis = c.numbers(1)?.[0];
    const at = shape && axis !== undefined ? axisIn(axis, shape.length + 1) : undefined;
    return [tensor(c.dtype(0), shape && at !== undefined ? [...shape.slice(0, at), 1, ...shape.slice(at)] : undefined)];
  },
} satisfies Partial<Record<OpName, InferRule>>;

