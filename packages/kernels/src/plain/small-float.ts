/** The 8- and 4-bit float types: one description each, decoded by table, encoded by rounding on their grid. */
import type { FromFloatOptions } from '../kernels.js';

export type SmallFloat = 'float8e4m3fn' | 'float8e4m3fnuz' | 'float8e5m2' | 'float8e5m2fnuz' | 'float4e2m1';

interface Format {
  readonly mantissa: number;
  readonly bias: number;
  readonly signBit: number;
  /** Code of the largest finite value. */
  readonly max: number;
  /** Code of infinity, where there is one. */
  readonly inf?: number;
  readonly nan?: number;
  /** One NaN in the place of -0, no negative zero. */
  readonly fnuz?: true;
}

// prettier-ignore
const formats: Record<SmallFloat, Format> = {
  float8e4m3fn:   { mantissa: 3, bias: 7, signBit: 0x80, max: 0x7e, nan: 0x7f },
  float8e4m3fnuz: { mantissa: 3, bias: 8, signBit: 0x80, max: 0x7f, nan: 0x80, fnuz: true },
  float8e5m2:     { mantissa: 2, bias: 15, signBit: 0x80, max: 0x7b, inf: 0x7c, nan: 0x7e },
  float8e5m2fnuz: { mantissa: 2, bias: 16, signBit: 0x80, max: 0x7f, nan: 0x80, fnuz: true },
  float4e2m1:     { mantissa: 1, bias: 1, signBit: 0x8, max: 0x7 },
};

const tables = new Map<SmallFloat | 'float8e8m0', Float32Array>();

/** Value of every code of a type (256; 16 repeated for float4e2m1, whose upper bits are ignored). */
export function decodeTable(dtype: SmallFloat | 'float8e8m0'): Float32Array {
  let table = tables.get(dtype);
  if (table === undefined) {
    const decode = dtype === 'float8e8m0' ? decodeScale : (code: number) => decodeSmall(formats[dtype], code);
    table = Float32Array.from({ length: 256 }, (_, code) => decode(code));
    tables.set(dtype, table);
  }
  return table;
}

function decodeSmall(format: Format, code: number): number {
  const { mantissa, bias, signBit, max, inf, fnuz } = format;
  const magnitude = code & (signBit - 1);
  const sign = code & signBit ? -1 : 1;
  if (fnuz && magnitude === 0) return sign < 0 ? NaN : 0;
  if (magnitude === inf) return sign * Infinity;
  if (magnitude > max) return NaN;
  const exponent = magnitude >> mantissa;
  const fraction = magnitude & ((1 << mantissa) - 1);
  const significand = exponent === 0 ? fraction : fraction + (1 << mantissa);
  return sign * significand * 2 ** (Math.max(exponent, 1) - bias - mantissa);
}

function decodeScale(code: number): number {
  return code === 255 ? NaN : 2 ** (code - 127);
}

/** Code of the float32 with the given bits: half to even, compared with the largest finite value after rounding. */
export function encodeSmall(dtype: SmallFloat, bits: number, saturate = false): number {
  const { mantissa, bias, signBit, max, inf, nan, fnuz } = formats[dtype];
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return nan ?? max;
  const sign = bits >>> 31 ? signBit : 0;
  const exponent = Math.max((magnitude >>> 23) - 127, 1 - bias);
  const significand = (magnitude & 0x7fffff) | (magnitude >= 0x800000 ? 0x800000 : 0);
  const shift = Math.min(23 - mantissa + exponent - Math.max((magnitude >>> 23) - 127, -126), 25);
  const half = 1 << (shift - 1);
  const quotient = significand >> shift;
  const rest = significand & ((1 << shift) - 1);
  const rounded = quotient + (rest > half || (rest === half && (quotient & 1) === 1) ? 1 : 0);
  // A carry out of the mantissa moves on to the exponent by itself.
  const code = magnitude === 0x7f800000 ? max + 1 : rounded + ((exponent + bias - 1) << mantissa);
  if (code > max) {
    if (saturate || nan === undefined) return sign | max;
    return inf === undefined ? nan : sign | inf;
  }
  return fnuz && code === 0 ? 0 : sign | code;
}

/**
 * float8e8m0, a power of two: `nearest` rounds ties up. Negative values are undefined by ONNX and become NaN here; 0 and
 * what lies outside [2^-127, 2^127] become the nearest code with `saturate`, otherwise NaN.
 */
export function encodeScale(bits: number, { saturate = false, round = 'nearest' }: FromFloatOptions = {}): number {
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000 || (bits >>> 31 && magnitude > 0)) return 255;
  if (magnitude > 0x7f000000 && !saturate) return 255;
  const exponent = magnitude >>> 23;
  const fraction = magnitude & 0x7fffff;
  let code: number;
  if (exponent === 0) {
    // Below 2^-126: 2^-127 is fraction 0x400000.
    if (fraction < 0x400000) return saturate ? 0 : 255;
    const above = fraction - 0x400000;
    code = (round === 'up' && above > 0) || (round === 'nearest' && above >= 0x200000) ? 1 : 0;
  } else {
    code = exponent + ((round === 'up' && fraction > 0) || (round === 'nearest' && fraction >= 0x400000) ? 1 : 0);
  }
  return Math.min(code, 254);
}

export function isSmallFloat(dtype: string): dtype is SmallFloat {
  return dtype in formats;
}

