/** Reference kernels of the com.microsoft operators that compute on quantized tensors. */
import type { OpName } from '../ops/lookup.js';
import { normalizeAxis } from '../shape.js';
import { arrayOf, expanded, type NdArray, numbers, rounded } from './array.js';
import { convKernels } from './conv.js';
import { elementwiseKernels, map, sigmoid, zip } from './elementwise.js';
import { type Kernel, KernelContext } from './kernel.js';
import { matmulRaw, transposed } from './linalg.js';
import { concatenate } from './movement.js';
import { dynamicQuantize, lessZero, qlinearConv, requantize } from './quant.js';
import { alongAxis, reduceArray, softmaxRun } from './reduce.js';

/** Integer product times both scales, which may be per column, plus bias. */
function scaledProduct(a: NdArray, b: NdArray, aScale: Float64Array, bScale: NdArray, bias: NdArray | undefined): { shape: number[]; data: Float64Array } {
  const { shape, data } = matmulRaw(a, b);
  const scales = numbers(expanded(bScale, shape));
  const shift = bias && numbers(expanded(bias, shape));
  return { shape, data: data.map((v, i) => v * aScale[0]! * scales[i]! + (shift?.[i] ?? 0)) };
}

const qgemm: Kernel = (c) => {
  const a = lessZero(c.array(0), c.optional(2), true);
  const b = lessZero(transposed(c.array(3), c.node.int('transB', 0) === 1), c.optional(5), true);
  const { shape, data } = matmulRaw(transposed(a, c.node.int('transA', 0) === 1), b);
  const bias = c.optional(6);
  const shift = bias && numbers(expanded(bias, shape));
  const scales = numbers(expanded(c.array(4), shape));
  const alpha = c.node.float('alpha', 1) * c.number(1, 1);
  const real = data.map((v, i) => (v + (shift?.[i] ?? 0)) * alpha * scales[i]!);
  if (!c.has(7)) return [rounded('float32', shape, real)];
  return [requantize(shape, real, c.number(7, 1), c.optional(8), c.optional(8)?.dtype ?? c.array(0).dtype)];
};

/** Real values of a quantized input at `index`, its scale and zero point behind it. */
function real(c: KernelContext, index: number): NdArray {
  const x = c.array(index);
  const scale = c.number(index + 1, 1);
  const zero = c.number(index + 2, 0);
  return rounded('float64', x.shape, numbers(x).map((v) => (v - zero) * scale));
}

/** A function of real values between dequantization and quantization; scale and zero point of the output at `out`. */
const quantized = (out: number, fn: (c: KernelContext) => NdArray): Kernel => (c) => {
  const y = fn(c);
  return [requantize(y.shape, numbers(y), c.number(out, 1), c.optional(out + 1), c.optional(out + 1)?.dtype ?? c.array(0).dtype)];
};

/** Runs a float kernel on other inputs. */
function through(kernel: Kernel, c: KernelContext, ...inputs: NdArray[]): NdArray {
  const [out] = kernel(new KernelContext(c.node, c.opset, inputs, c.subgraph, c.attribute));
  return out as NdArray;
}

const qlinearConcat: Kernel = (c) => {
  const parts = Array.from({ length: Math.floor((c.count - 2) / 3) }, (_, i) => real(c, 2 + 3 * i));
  const y = concatenate(parts, c.node.int('axis', 0));
  return [requantize(y.shape, numbers(y), c.number(0, 1), c.array(1), c.array(1).dtype)];
};

const where = elementwiseKernels.Where;

export const contribQuantKernels = {
  'com.microsoft.MatMulIntegerToFloat'(c) {
    const [a, b] = [lessZero(c.array(0), c.optional(4), true), lessZero(c.array(1), c.optional(5), true)];
    const { shape, data } = scaledProduct(a, b, c.numbers(2), c.array(3), c.optional(6));
    return [rounded(c.array(2).dtype, shape, data)];
  },
  'com.microsoft.DynamicQuantizeMatMul'(c) {
    const { values, scale, zero } = dynamicQuantize(c.array(0));
    const a = arrayOf('int32', values.shape, numbers(values).map((v) => v - zero));
    const { shape, data } = scaledProduct(a, lessZero(c.array(1), c.optional(3), true), Float64Array.of(scale), c.array(2), c.optional(4));
    return [rounded('float32', shape, data)];
  },
  'com.microsoft.QGemm': qgemm,
  'com.microsoft.QLinearAdd': quantized(6, (c) => zip(real(c, 0), real(c, 3), (a, b) => a + b)),
  'com.microsoft.QLinearMul': quantized(6, (c) => zip(real(c, 0), real(c, 3), (a, b) => a * b)),
  'com.microsoft.QLinearSigmoid': quantized(3, (c) => map(real(c, 0), sigmoid)),
  'com.microsoft.QLinearLeakyRelu': quantized(3, (c) => map(real(c, 0), (x) => (x < 0 ? x * c.node.float('alpha', 0.01) : x))),
  'com.microsoft.QLinearSoftmax': quantized(3, (c) => alongAxis(real(c, 0), c.node.int('axis', -1), softmaxRun)),
  'com.microsoft.QLinearConcat': qlinearConcat,
  'com.microsoft.QLinearConv': (c) => {
    if (c.node.int('channels_last', 0) === 1) throw c.unsupported('channels-last convolution');
    return [qlinearConv(c)];
  },
  'com.microsoft.QLinearGlobalAveragePool': quantized(3, (c) => through(convKernels.GlobalAveragePool, c, real(c, 0))),
  'com.microsoft.QLinearAveragePool': quantized(3, (c) => through(convKernels.AveragePool, c, real(c, 0))),
  'com.microsoft.QLinearReduceMean': quantized(3, (c) => {
    const x = real(c, 0);
    const axes = (c.node.ints('axes') ?? []).map((axis) => normalizeAxis(axis, x.shape.length));
    return reduceArray(x, axes, c.node.int('keepdims', 1) === 1, { start: 0, step: (a, b) => a + b, end: (sum, count) => sum / count });
  }),
  'com.microsoft.QLinearWhere': quantized(7, (c) => through(where, c, c.array(0), real(c, 1), real(c, 4))),
  'com.microsoft.MulInteger'(c) {
    const [a, b] = [lessZero(c.array(0), c.optional(1), true), lessZero(c.array(2), c.optional(3), true)];
    return [zip(a, b, (x, y) => x * y, 'int32')];
  },
} satisfies Partial<Record<OpName, Kernel>>;
