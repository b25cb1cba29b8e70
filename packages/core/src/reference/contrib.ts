/** Reference kernels of com.microsoft operators. */
import type { OpName } from '../ops/lookup.js';
import { broadcastShapes, elementCount, normalizeAxis } from '../shape.js';
import { attend } from './attend.js';
import { type RotaryOptions, joinHeads, maskOf, rotate, splitHeads } from './attention.js';
import { arrayOf, expanded, type Item, type NdArray, numbers, permuted, reshaped, rounded, scalar } from './array.js';
import { contribQuantKernels } from './contrib-quant.js';
import { codesOf } from './codes.js';
import { convolve } from './conv.js';
import { geluTanh, gelu, map, sigmoid, zip } from './elementwise.js';
import type { Kernel, KernelContext } from './kernel.js';
import { mixtureOfExperts, quantizedMixture } from './experts.js';
import { gemm, gemmKernel, matmul, matmulRaw, transposed } from './linalg.js';
import { concatenate, pad, part, trilu } from './movement.js';
import { affine, normalizeRuns } from './norm.js';
import { dequantizeLinear, quantizeLinear } from './quant.js';
import { alongAxis, softmaxRun } from './reduce.js';
import { gatherAxis, gatherND, uniqueElements } from './select.js';
import { groupQueryAttention } from './group-query.js';

const add = (x: NdArray, y: NdArray | undefined): NdArray => (y ? zip(x, y, (a, b) => a + b) : x);

/** A MatMulNBits weight as doubles, (N, K). */
function dequantizeNBits(c: KernelContext): Float64Array {
  const { node } = c;
  const [n, k, block, bits] = [node.int('N', 0), node.int('K', 0), node.int('block_size', 32), node.int('bits', 4)];
  const blocks = Math.ceil(k / block);
  const codes = codesOf(c.numbers(1), bits);
  const scales = c.numbers(2);
  const zero = c.optional(3);
  const packed = zero?.dtype === 'uint8';
  const zeros = zero && (packed ? codesOf(numbers(zero), bits) : numbers(zero));
  const zeroStride = packed ? Math.ceil((blocks * bits) / 8) * (8 / bits) : blocks;
  const group = c.has(4) ? c.ints(4) : undefined;
  return Float64Array.from({ length: n * k }, (_, i) => {
    const [row, col] = [Math.floor(i / k), i % k];
    const at = group?.[col] ?? Math.floor(col / block);
    const z = zeros ? zeros[row * zeroStride + at]! : 2 ** (bits - 1);
    return (codes[row * blocks * block + col]! - z) * scales[row * blocks + at]!;
  });
}

const matMulNBits: Kernel = (c) => {
  const a = c.array(0);
  const [n, k] = [c.node.int('N', 0), c.node.int('K', 0)];
  const weight = permuted(arrayOf('float64', [n, k], dequantizeNBits(c)), [1, 0]);
  const rows = elementCount(a.shape) / k;
  const out = new Float64Array(rows * n);
  const bias = c.optional(5);
  if (bias) for (let i = 0; i < out.length; i++) out[i] = numbers(bias)[i % n]!;
  gemm(numbers(a), numbers(weight), out, rows, k, n);
  return [rounded(a.dtype, [...a.shape.slice(0, -1), n], out)];
};

/** Values of the 4-bit codes of bitsandbytes: FP4, then NF4 (quantiles of a normal distribution). */
const bnb4: readonly (readonly number[])[] = [
  [0, 0.00520833333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25, 0, -0.00520833333, -0.66666667, -1, -0.33333333, -0.5, -0.16666667, -0.25],
  [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
  ],
];

/** Blocks run over the flattened (N, K) weight, first code in the high bits. */
const matMulBnb4: Kernel = (c) => {
  const a = c.array(0);
  const { node } = c;
  if (node.int('transB', 1) !== 1) throw c.unsupported('a weight that is not transposed');
  const [n, k, block] = [node.int('N', 0), node.int('K', 0), node.int('block_size', 64)];
  const [bytes, scales, table] = [c.numbers(1), c.numbers(2), bnb4[node.int('quant_type', 1)]!];
  const weight = Float64Array.from({ length: n * k }, (_, i) => {
    const code = (bytes[Math.floor(i / 2)]! >> (i % 2 === 0 ? 4 : 0)) & 15;
    return Math.fround(table[code]!) * scales[Math.floor(i / block)]!;
  });
  return [matmul(a, permuted(arrayOf('float64', [n, k], weight), [1, 0]))];
};

const gatherBlockQuantized: Kernel = (c) => {
  const { node } = c;
  const data = c.array(0);
  const scale = c.array(2);
  const bytes = data.dtype === 'uint8';
  const bits = node.int('bits', 4);
  const codes = bytes ? codesOf(numbers(data), bits) : numbers(data);
  const shape = bytes ? [...data.shape.slice(0, -1), data.shape.at(-1)! * (8 / bits)] : [...data.shape];
  const axis = normalizeAxis(node.int('quantize_axis', 1), shape.length);
  const block = node.int('block_size', 128);
  const zero = c.optional(3);
  const zeros = zero && (zero.dtype === 'uint8' ? codesOf(numbers(zero), bits) : numbers(zero));
  const missing = bytes ? 2 ** (bits - 1) : 0;
  // Packed zero points are padded to whole bytes along their last axis.
  const zeroWidth = zero?.dtype === 'uint8' ? zero.shape.at(-1)! * (8 / bits) : scale.shape.at(-1)!;
  const width = scale.shape.at(-1)!;
  const scales = numbers(scale);
  const full = Float64Array.from({ length: elementCount(shape) }, (_, i) => {
    let rest = i;
    let at = 0;
    let stride = 1;
    for (let d = shape.length - 1; d >= 0; d--) {
      const position = rest % shape[d]!;
      rest = Math.floor(rest / shape[d]!);
      at += (d === axis ? Math.floor(position / block) : position) * stride;
      stride *= scale.shape[d]!;
    }
    const zeroAt = Math.floor(at / width) * zeroWidth + (at % width);
    return (codes[i]! - (zeros?.[zeroAt] ?? missing)) * scales[at]!;
  });
  return [gatherAxis(rounded(scale.dtype, shape, full), normalizeAxis(node.int('gather_axis', 0), shape.length), c.array(1))];
};

/** Sum of input, skip and bias, normalized. */
const skipNorm = (centred: boolean, biasAt: number): Kernel => (c) => {
  const sum = add(add(c.array(0), c.array(1)), c.optional(biasAt));
  const { values } = normalizeRuns(numbers(sum), sum.shape.at(-1)!, c.node.float('epsilon', 1e-12), centred);
  return [affine(sum, values, c.array(2), centred ? c.optional(3) : undefined), undefined, undefined, sum];
};

const embedLayerNorm: Kernel = (c) => {
  const ids = c.array(0);
  const [batch, seq] = ids.shape as [number, number];
  const positions = c.optional(8) ?? rounded('int32', [batch, seq], Array.from({ length: batch * seq }, (_, i) => i % seq));
  const word = add(gatherAxis(c.array(2), 0, ids), gatherAxis(c.array(3), 0, positions));
  const sum = c.has(1) && c.has(4) ? add(word, gatherAxis(c.array(4), 0, c.array(1))) : word;
  const { values } = normalizeRuns(numbers(sum), sum.shape.at(-1)!, c.node.float('epsilon', 1e-12), true);
  const mask = c.has(7) ? c.numbers(7) : undefined;
  const lengths = Array.from({ length: batch }, (_, b) => (mask ? mask.subarray(b * seq, (b + 1) * seq).reduce((a, x) => a + x, 0) : 0));
  return [affine(sum, values, c.array(5), c.array(6)), rounded('int32', [batch], lengths), sum];
};

const rotary: Kernel = (c) => {
  const given = c.array(0);
  const { node } = c;
  const ids = numbers(c.array(1));
  const width = node.int('rotary_embedding_dim', 0);
  const flat = given.shape.length === 3;
  const size = width > 0 && node.int('num_heads', 0) > 0 ? given.shape.at(-1)! / node.int('num_heads', 1) : c.array(2).shape.at(-1)! * 2;
  const x = flat ? splitHeads(given, given.shape.at(-1)! / size) : given;
  const seq = x.shape[2]!;
  const options: RotaryOptions = {
    interleaved: node.int('interleaved', 0) === 1, width: width || c.array(2).shape.at(-1)! * 2,
    // One position is the start of every row.
    row: (b, t) => (ids.length === 1 ? ids[0]! + t : ids[b * seq + t]!),
  };
  const out = rotate(x, c.array(2), c.array(3), options);
  const scaled = map(out, (v) => v * node.float('scale', 1));
  return [flat ? joinHeads(scaled) : scaled];
};

/** (batch, heads, rows, size) attention with a past and an additive mask. */
function heads(c: KernelContext, q: NdArray, k: NdArray, v: NdArray, bias: (b: number, h: number, r: number, j: number) => number): Item[] {
  const [batch, count, rows, size] = q.shape as [number, number, number, number];
  const keys = k.shape[2]!;
  const past = keys - rows;
  const causal = c.node.int('unidirectional', 0) === 1;
  const { out, capped } = attend(numbers(q), numbers(k), numbers(v), {
    batch, heads: count, groups: count, rows, keys, keySize: size, valueSize: v.shape[3]!,
    scale: c.node.float('scale', 0) || 1 / Math.sqrt(size),
    // ONNX Runtime 1.30 on a CPU gives NaN, as its Softmax does.
    emptyRow: NaN,
    bias: (b, h, r, j) => bias(b, h, r, j) + (causal && j > r + past ? -Infinity : 0),
  });
  return [joinHeads(rounded(q.dtype, [batch, count, rows, v.shape[3]!], out)), k, v, rounded(q.dtype, [batch, count, rows, keys], capped)];
}

/** Lengths (batch), ends and starts (2*batch), or 1 for every kept key in (batch, keys) or (batch, rows, keys). */
function keyMask(c: KernelContext, mask: NdArray | undefined, batch: number, keys: number): (b: number, r: number, j: number) => number {
  if (!mask) return () => 0;
  const hidden = c.node.float('mask_filter_value', -10000);
  const values = numbers(mask);
  const rank = mask.shape.length;
  if (rank > 3 || (rank === 1 && values.length > 2 * batch)) throw c.unsupported('this form of mask');
  return (b, r, j) => {
    if (rank === 1) return j < values[b]! && j >= (values[batch + b] ?? 0) ? 0 : hidden;
    return values[rank === 2 ? b * keys + j : (b * mask.shape[1]! + r) * keys + j] ? 0 : hidden;
  };
}

const multiHead: Kernel = (c) => {
  const count = c.node.int('num_heads', 1);
  let [q, k, v] = [c.array(0), c.optional(1), c.optional(2)];
  if (q.shape.length !== 3 || !k || !v) throw c.unsupported('packed or cross-cached MultiHeadAttention');
  const bias = c.optional(3);
  if (bias) {
    const widths = [q.shape[2]!, q.shape[2]!, bias.shape[0]! - 2 * q.shape[2]!];
    const slices = widths.map((width, i) => part(bias, 0, i * q.shape[2]!, i * q.shape[2]! + width));
    q = add(q, slices[0]);
    if (k.shape.length === 3) [k, v] = [add(k, slices[1]), add(v, slices[2])];
  }
  const split = (x: NdArray): NdArray => (x.shape.length === 3 ? splitHeads(x, count) : x);
  const [keys, values] = [split(k), split(v)].map((x, i) => (c.has(6 + i) ? concatenate([c.array(6 + i), x], 2) : x)) as [NdArray, NdArray];
  const total = keys.shape[2]!;
  const queries = splitHeads(q, count);
  const mask = keyMask(c, c.optional(4), q.shape[0]!, total);
  const shift = maskOf(c.optional(5), [q.shape[0]!, count, q.shape[1]!, total]);
  return heads(c, queries, keys, values, (b, h, r, j) => mask(b, r, j) + (shift?.(b, h, r, j) ?? 0));
};

const attention: Kernel = (c) => {
  const count = c.node.int('num_heads', 1);
  const x = add(matmul(c.array(0), c.array(1)), c.optional(2));
  if (c.node.int('do_rotary', 0) === 1) throw c.unsupported('Attention with rotary embedding');
  const width = x.shape[2]!;
  const sizes = c.node.ints('qkv_hidden_sizes') ?? [width / 3, width / 3, width / 3];
  let at = 0;
  const [q, k, v] = sizes.map((size) => splitHeads(part(x, 2, at, (at += size)), count)) as [NdArray, NdArray, NdArray];
  const past = c.optional(4);
  const half = (i: number): NdArray => reshaped(part(past!, 0, i, i + 1), past!.shape.slice(1));
  const [keys, values] = past ? [concatenate([half(0), k], 2), concatenate([half(1), v], 2)] : [k, v];
  const mask = keyMask(c, c.optional(3), q.shape[0]!, keys.shape[2]!);
  const shift = maskOf(c.optional(5), [q.shape[0]!, count, q.shape[2]!, keys.shape[2]!]);
  const [out] = heads(c, q, keys, values, (b, h, r, j) => mask(b, r, j) + (shift?.(b, h, r, j) ?? 0));
  const up = (x: NdArray): NdArray => reshaped(x, [1, ...x.shape]);
  return [out, concatenate([up(keys), up(values)], 0)];
};

const fusedMatmul: Kernel = (c) => {
  if (c.node.int('transBatchA', 0) || c.node.int('transBatchB', 0)) throw c.unsupported('transposed batches');
  const { shape, data } = matmulRaw(transposed(c.array(0), c.node.int('transA', 0) === 1), transposed(c.array(1), c.node.int('transB', 0) === 1));
  const alpha = c.node.float('alpha', 1);
  return [rounded(c.array(0).dtype, shape, data.map((v) => v * alpha))];
};

const activations: Readonly<Record<string, (c: KernelContext, x: number) => number>> = {
  Relu: (_, x) => Math.max(0, x), Sigmoid: (_, x) => sigmoid(x), Tanh: (_, x) => Math.tanh(x),
  LeakyRelu: (c, x) => (x < 0 ? x * (c.node.floats('activation_params')?.[0] ?? c.node.float('activation_alpha', 0.01)) : x),
  Clip: (c, x) => Math.min(Math.max(x, c.node.floats('activation_params')?.[0] ?? -Infinity), c.node.floats('activation_params')?.[1] ?? Infinity),
  HardSigmoid: (c, x) => Math.max(0, Math.min(1, x * (c.node.floats('activation_params')?.[0] ?? 0.2) + (c.node.floats('activation_params')?.[1] ?? 0.5))),
};

function activated(c: KernelContext, x: NdArray): NdArray {
  const name = c.node.string('activation', '');
  const fn = activations[name];
  if (name !== '' && !fn) throw c.unsupported(`activation ${name}`);
  return fn ? map(x, (v) => fn(c, v)) : x;
}

export const contribKernels = {
  ...contribQuantKernels,
  'com.microsoft.MatMulNBits': matMulNBits,
  'com.microsoft.MatMulBnb4': matMulBnb4,
  'com.microsoft.GatherBlockQuantized': gatherBlockQuantized,
  'com.microsoft.GroupQueryAttention': groupQueryAttention,
  'com.microsoft.MultiHeadAttention': multiHead,
  'com.microsoft.Attention': attention,
  'com.microsoft.MoE': mixtureOfExperts,
  'com.microsoft.QMoE': quantizedMixture,
  'com.microsoft.RotaryEmbedding': rotary,
  'com.microsoft.SkipLayerNormalization': skipNorm(true, 4),
  'com.microsoft.SkipSimplifiedLayerNormalization': skipNorm(false, 3),
  'com.microsoft.EmbedLayerNormalization': embedLayerNorm,
  'com.microsoft.Gelu': (c) => [map(c.array(0), gelu)],
  'com.microsoft.FastGelu': (c) => [map(add(c.array(0), c.optional(1)), geluTanh)],
  'com.microsoft.BiasGelu': (c) => [map(add(c.array(0), c.array(1)), gelu)],
  'com.microsoft.QuickGelu': (c) => [map(c.array(0), (x) => x * sigmoid(c.node.float('alpha', 1.702) * x))],
  'com.microsoft.BiasAdd': (c) => [add(add(c.array(0), c.array(1)), c.array(2))],
  'com.microsoft.BiasSoftmax'(c) {
    const x = add(c.array(0), expandedBias(c));
    const axis = normalizeAxis(c.node.int('axis', 1), x.shape.length);
    const flat = reshaped(x, [elementCount(x.shape.slice(0, axis)), elementCount(x.shape.slice(axis))]);
    return [reshaped(alongAxis(flat, 1, softmaxRun), x.shape)];
  },
  'com.microsoft.FusedMatMul': fusedMatmul,
  'com.microsoft.TransposeMatMul': fusedMatmul,
  'com.microsoft.FusedGemm': (c) => [activated(c, gemmKernel(c)[0] as NdArray)],
  'com.microsoft.FusedConv'(c) {
    const y = convolve(c, c.array(0), c.array(1), c.optional(2));
    return [activated(c, add(y, c.optional(3)))];
  },
  'com.microsoft.MatMulInteger16': (c) => [matmul(c.array(0), c.array(1), 'int32')],
  'com.microsoft.QuantizeLinear': quantizeLinear,
  'com.microsoft.DequantizeLinear': dequantizeLinear,
  'com.microsoft.GatherND': gatherND,
  'com.microsoft.Pad': pad,
  'com.microsoft.Trilu': trilu,
  'com.microsoft.Unique': (c) => uniqueElements(() => false)(c).filter((_, i) => i !== 1),
  'com.microsoft.Range': (c) => {
    const [start, limit, delta] = [c.number(0, 0), c.number(1, 0), c.number(2, 1)];
    const count = Math.max(0, Math.ceil((limit - start) / delta));
    return [rounded(c.array(0).dtype, [count], Array.from({ length: count }, (_, i) => start + i * delta))];
  },
  'com.microsoft.ExpandDims'(c) {
    const x = c.array(0);
    const axis = normalizeAxis(c.number(1, 0), x.shape.length + 1);
    return [reshaped(x, [...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)])];
  },
  'com.microsoft.IsAllFinite': (c) => [scalar('bool', Number(c.arrays().every((x) => numbers(x).every(Number.isFinite))))],
} satisfies Partial<Record<OpName, Kernel>>;

/** The bias repeats along the outer axes, or along the middle ones when it is not an inner broadcast. */
function expandedBias(c: KernelContext): NdArray {
  const [x, bias] = [c.array(0), c.array(1)];
  return broadcastShapes(x.shape, bias.shape).length === x.shape.length ? bias : expanded(bias, x.shape);
}
