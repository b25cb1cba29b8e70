/** Reference kernels of quantization operators. */
import { type DType, dtypeOfOnnx, dtypes } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import { elementCount, normalizeAxis, stridesOf } from '../shape.js';
import { arrayOf, expanded, type NdArray, numbers, rounded, scalar, stridedIndex } from './array.js';
import { castArray } from './cast.js';
import { convolve } from './conv.js';
import { roundEven } from './elementwise.js';
import type { Kernel, KernelContext } from './kernel.js';
import { matmul, matmulRaw } from './linalg.js';

/** For every element of x, the element of the scale that applies to it: per tensor, per axis or per block. */
function scaleIndex(x: NdArray, scale: NdArray, givenAxis: number, block: number): Int32Array {
  if (elementCount(scale.shape) === 1 && block === 0) return new Int32Array(elementCount(x.shape));
  const axis = normalizeAxis(givenAxis, x.shape.length);
  if (block === 0) return stridedIndex(x.shape, x.shape.map((_, i) => (i === axis ? 1 : 0)));
  const strides = stridesOf(scale.shape);
  const base = stridedIndex(x.shape, strides.map((stride, i) => (i === axis ? 0 : stride)));
  const position = stridedIndex(x.shape, x.shape.map((_, i) => (i === axis ? 1 : 0)));
  return base.map((at, i) => at + Math.floor(position[i]! / block) * strides[axis]!);
}

/** Integers saturate; floats are cast. */
export function quantizeTo(values: Float64Array, dtype: DType, saturate = true): Float64Array {
  const { kind, bits } = dtypes[dtype];
  if (kind === 'float') return numbers(castArray(rounded('float32', [values.length], values), dtype, saturate));
  const low = kind === 'int' ? -(2 ** (bits - 1)) : 0;
  const high = kind === 'int' ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  return values.map((x) => Math.min(high, Math.max(low, x)));
}

export const quantizeLinear: Kernel = (c) => {
  const [x, scale] = [c.array(0), c.array(1)];
  const zero = c.optional(2);
  const dtype = zero?.dtype ?? dtypeOfOnnx.get(c.node.int('output_dtype', 0)) ?? 'uint8';
  const index = scaleIndex(x, scale, c.node.int('axis', 1), c.node.int('block_size', 0));
  const [scales, zeros] = [numbers(scale), zero && numbers(zero)];
  const float = dtypes[dtype].kind === 'float';
  const single = x.dtype === 'float64' ? (v: number): number => v : Math.fround;
  const values = numbers(x).map((v, i) => {
    const quotient = single(v / scales[index[i]!]!);
    const rounded = float ? quotient : roundEven(quotient);
    return zeros ? rounded + zeros[index[i]!]! : rounded;
  });
  return [arrayOf(dtype, x.shape, quantizeTo(values, dtype, c.node.int('saturate', 1) === 1))];
};

export const dequantizeLinear: Kernel = (c) => {
  const [x, scale] = [c.array(0), c.array(1)];
  const zero = c.optional(2);
  const index = scaleIndex(x, scale, c.node.int('axis', 1), c.node.int('block_size', 0));
  const [scales, zeros] = [numbers(scale), zero && numbers(zero)];
  const dtype = dtypeOfOnnx.get(c.node.int('output_dtype', 0)) ?? scale.dtype;
  return [rounded(dtype, x.shape, numbers(x).map((v, i) => (v - (zeros?.[index[i]!] ?? 0)) * scales[index[i]!]!))];
};

export function dynamicQuantize(x: NdArray): { values: NdArray; scale: number; zero: number } {
  const values = numbers(x);
  const low = values.reduce((a, b) => Math.min(a, b), 0);
  const high = values.reduce((a, b) => Math.max(a, b), 0);
  const scale = Math.fround(Math.fround(high - low) / 255) || 1;
  const zero = Math.min(255, Math.max(0, roundEven(Math.fround((0 - low) / scale))));
  const codes = quantizeTo(values.map((v) => roundEven(Math.fround(v / scale)) + zero), 'uint8');
  return { values: arrayOf('uint8', x.shape, codes), scale, zero };
}

/** An array less its zero point, which is one number or one per row (`last` false) or column. */
export function lessZero(x: NdArray, zero: NdArray | undefined, last: boolean): NdArray {
  if (!zero) return x;
  const perRow = !last && zero.shape.length === 1 && elementCount(zero.shape) > 1;
  const zeros = numbers(expanded(perRow ? arrayOf(zero.dtype, [...zero.shape, 1], zero.data) : zero, x.shape));
  return arrayOf('int32', x.shape, numbers(x).map((v, i) => v - zeros[i]!));
}

/** Rounds real values onto the grid of an output scale and zero point. */
export function requantize(shape: readonly number[], real: Float64Array, scale: number, zero: NdArray | undefined, dtype: DType): NdArray {
  const offset = zero ? numbers(zero)[0]! : 0;
  return arrayOf(dtype, shape, quantizeTo(real.map((v) => roundEven(Math.fround(v / scale)) + offset), dtype));
}

const qlinearMatmul: Kernel = (c) => {
  const [a, b] = [lessZero(c.array(0), c.array(2), false), lessZero(c.array(3), c.array(5), true)];
  const { shape, data } = matmulRaw(a, b);
  const [sa, sb] = [numbers(c.array(1)), numbers(c.array(4))];
  const cols = shape.at(-1)!;
  const rows = shape.at(-2) ?? 1;
  const real = data.map((v, i) => v * (sa.length > 1 ? sa[Math.floor(i / cols) % rows]! : sa[0]!) * (sb.length > 1 ? sb[i % cols]! : sb[0]!));
  return [requantize(shape, real, numbers(c.array(6))[0]!, c.array(7), c.array(7).dtype)];
};

/** x, its scale and zero point, w and its own, the output's, then a bias. */
export function qlinearConv(c: KernelContext): NdArray {
  const w = c.array(3);
  const wScale = numbers(c.array(4));
  const x = lessZero(c.array(0), c.array(2), true);
  const wZero = numbers(c.array(5));
  const inner = elementCount(w.shape.slice(1));
  const centred = arrayOf('int32', w.shape, numbers(w).map((v, i) => v - (wZero.length > 1 ? wZero[Math.floor(i / inner)]! : wZero[0]!)));
  const raw = convolve(c, x, centred, c.optional(8), 'float64');
  const spatial = elementCount(raw.shape.slice(2));
  const channels = raw.shape[1]!;
  const xScale = c.number(1, 1);
  const real = numbers(raw).map((v, i) => v * xScale * (wScale.length > 1 ? wScale[Math.floor(i / spatial) % channels]! : wScale[0]!));
  return requantize(raw.shape, real, c.number(6, 1), c.array(7), c.array(7).dtype);
}

export const quantKernels = {
  QuantizeLinear: quantizeLinear, DequantizeLinear: dequantizeLinear,
  DynamicQuantizeLinear(c) {
    const { values, scale, zero } = dynamicQuantize(c.array(0));
    return [values, scalar('float32', scale), scalar('uint8', zero)];
  },
  MatMulInteger: (c) => [matmul(lessZero(c.array(0), c.optional(2), false), lessZero(c.array(1), c.optional(3), true), 'int32')],
  ConvInteger(c) {
    const w = c.array(1);
    const wZero = c.optional(3);
    const shaped = wZero && wZero.shape.length === 1 ? arrayOf(wZero.dtype, [...wZero.shape, ...w.shape.slice(1).map(() => 1)], wZero.data) : wZero;
    return [convolve(c, lessZero(c.array(0), c.optional(2), true), lessZero(w, shaped, true), undefined, 'int32')];
  },
  QLinearMatMul: qlinearMatmul,
  QLinearConv: (c) => [qlinearConv(c)],
} satisfies Partial<Record<OpName, Kernel>>;
