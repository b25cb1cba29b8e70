/** Conversion between element types as ONNX Cast defines it. */
import type { NumberDType } from '@penjing/kernels';
import { type DType, dtypes } from '../dtype.js';
import { arrayOf, kernels, type NdArray, numbers, rounded } from './array.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** `saturate` and `roundMode` matter for 8-bit floats only. */
export function castArray(x: NdArray, to: DType, saturate = true, roundMode = 'up'): NdArray {
  if (x.dtype === to) return x;
  if (to === 'string') return arrayOf('string', x.shape, Array.from(x.data as ArrayLike<number | bigint>, (value) => encoder.encode(numberText(value, x.dtype))));
  if (Array.isArray(x.data)) return rounded(to, x.shape, Float64Array.from(x.data, (bytes) => parseNumber(decoder.decode(bytes))));
  const small = dtypes[to].kind === 'float' && dtypes[to].bits <= 8;
  if (small) return arrayOf(to, x.shape, throughSmall(numbers(x), to, saturate, roundMode));
  if (to === 'bool') return rounded('bool', x.shape, numbers(x));
  const big = x.data instanceof BigInt64Array || x.data instanceof BigUint64Array;
  if (big && to === 'int64') return arrayOf(to, x.shape, BigInt64Array.from(x.data as BigInt64Array));
  if (big && to === 'uint64') return arrayOf(to, x.shape, BigUint64Array.from(x.data as BigUint64Array));
  return rounded(to, x.shape, numbers(x).slice());
}

function throughSmall(values: Float64Array, dtype: DType, saturate: boolean, roundMode: string): Float64Array {
  const codes = new Uint8Array(values.length);
  const wide = new Float32Array(values.length);
  const round = roundMode === 'up' || roundMode === 'down' ? roundMode : 'nearest';
  kernels.fromFloat32(dtype as NumberDType, Float32Array.from(values), codes, { saturate, ...(dtype === 'float8e8m0' ? { round } : {}) });
  kernels.toFloat32(dtype as NumberDType, codes, wide);
  return Float64Array.from(wide);
}

/** The shortest text that reads back as the same number of the type. */
function numberText(value: number | bigint, dtype: DType): string {
  if (typeof value === 'bigint') return String(value);
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'INF' : '-INF';
  if (dtypes[dtype].kind !== 'float' || dtype === 'float64') return String(value);
  for (let digits = 1; digits < 10; digits++) {
    const text = Number(value.toPrecision(digits));
    if (Math.fround(text) === Math.fround(value)) return String(text);
  }
  return String(value);
}

function parseNumber(text: string): number {
  const lower = text.trim().toLowerCase();
  if (/^[+-]?inf(inity)?$/.test(lower)) return lower.startsWith('-') ? -Infinity : Infinity;
  return Number(lower);
}

