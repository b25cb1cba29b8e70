/** Element type conversions through float32, one table row per dtype. */
import type { FromFloatOptions, NumberDType, TypedArray } from '../kernels.js';
import { checkCast } from '../shared/check.js';
import { bitsToBfloat16, bitsToFloat16, float16ToBits, wordsOf } from './half.js';
import { decodeTable, encodeScale, encodeSmall, type SmallFloat } from './small-float.js';

type Numbers = Exclude<TypedArray, BigInt64Array | BigUint64Array>;
type BigInts = BigInt64Array | BigUint64Array;

interface Row {
  widen(src: TypedArray, dst: Float32Array): void;
  narrow(src: Float32Array, dst: TypedArray, options: FromFloatOptions): void;
}

export function toFloat32(dtype: NumberDType, src: TypedArray, dst: Float32Array): void {
  checkCast(dtype, src, dst);
  rows[dtype].widen(src, dst);
}

export function fromFloat32(dtype: NumberDType, src: Float32Array, dst: TypedArray, options: FromFloatOptions = {}): void {
  checkCast(dtype, dst, src);
  rows[dtype].narrow(src, dst, options);
}

/** The nearest integer, ties to even. */
function nearest(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** Integers of up to 32 bits; arrays of one code per byte are read sign-extended when signed. */
function integer(bits: number, signed: boolean): Row {
  const low = signed ? -(2 ** (bits - 1)) : 0;
  const high = 2 ** (signed ? bits - 1 : bits) - 1;
  const spare = 32 - bits;
  return {
    widen(src, dst) {
      const from = src as Numbers;
      if (bits >= 8) dst.set(from);
      else for (let i = 0; i < dst.length; i++) dst[i] = signed ? (from[i]! << spare) >> spare : from[i]! & high;
    },
    narrow(src, dst) {
      const to = dst as Numbers;
      for (let i = 0; i < src.length; i++) {
        const x = src[i]!;
        to[i] = x >= high ? high : x > low ? nearest(x) : x === x ? low : 0;
      }
    },
  };
}

function bigInteger(signed: boolean): Row {
  const low = signed ? -(2n ** 63n) : 0n;
  const high = signed ? 2n ** 63n - 1n : 2n ** 64n - 1n;
  return {
    widen(src, dst) {
      const from = src as BigInts;
      for (let i = 0; i < dst.length; i++) dst[i] = bigToFloat(from[i]!);
    },
    narrow(src, dst) {
      const to = dst as BigInts;
      for (let i = 0; i < src.length; i++) {
        const x = src[i]!;
        to[i] = x >= Number(high) ? high : x > Number(low) ? BigInt(nearest(x)) : x === x ? low : 0n;
      }
    },
  };
}

/** Number(bigint) rounds to float64 first; a sticky bit keeps the second rounding, to float32, correct. */
function bigToFloat(value: bigint): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  const magnitude = value < 0n ? -value : value;
  const head = (magnitude >> 16n) | (magnitude & 0xffffn ? 1n : 0n);
  return (value < 0n ? -1 : 1) * Number(head) * 65536;
}

function words(
  widen: (bits: number) => number,
  narrow: (bits: number, options: FromFloatOptions) => number,
): Row {
  return {
    widen(src, dst) {
      const from = src as Uint16Array;
      const to = wordsOf(dst);
      for (let i = 0; i < to.length; i++) to[i] = widen(from[i]!);
    },
    narrow(src, dst, options) {
      const from = wordsOf(src);
      const to = dst as Uint16Array;
      for (let i = 0; i < from.length; i++) to[i] = narrow(from[i]!, options);
    },
  };
}

function tabled(dtype: SmallFloat | 'float8e8m0', narrow: (bits: number, options: FromFloatOptions) => number): Row {
  return {
    widen(src, dst) {
      const from = src as Uint8Array;
      const table = decodeTable(dtype);
      for (let i = 0; i < dst.length; i++) dst[i] = table[from[i]!]!;
    },
    narrow(src, dst, options) {
      const from = wordsOf(src);
      const to = dst as Uint8Array;
      for (let i = 0; i < from.length; i++) to[i] = narrow(from[i]!, options);
    },
  };
}

function small(dtype: SmallFloat): Row {
  return tabled(dtype, (bits, { saturate }) => encodeSmall(dtype, bits, saturate));
}

const copy: Row = {
  widen: (src, dst) => dst.set(src as Numbers),
  narrow: (src, dst) => (dst as Numbers).set(src),
};

const rows: Record<NumberDType, Row> = {
  float64: copy,
  float32: copy,
  float16: words(float16ToBits, (bits, { saturate }) => bitsToFloat16(bits, saturate)),
  bfloat16: words((bits) => bits << 16, (bits, { saturate }) => bitsToBfloat16(bits, saturate)),
  float8e4m3fn: small('float8e4m3fn'),
  float8e4m3fnuz: small('float8e4m3fnuz'),
  float8e5m2: small('float8e5m2'),
  float8e5m2fnuz: small('float8e5m2fnuz'),
  float8e8m0: tabled('float8e8m0', encodeScale),
  float4e2m1: small('float4e2m1'),
  int64: bigInteger(true),
  int32: integer(32, true),
  int16: integer(16, true),
  int8: integer(8, true),
  int4: integer(4, true),
  int2: integer(2, true),
  uint64: bigInteger(false),
  uint32: integer(32, false),
  uint16: integer(16, false),
  uint8: integer(8, false),
  uint4: integer(4, false),
  uint2: integer(2, false),
  bool: {
    widen: (src, dst) => {
      for (let i = 0; i < dst.length; i++) dst[i] = src[i] ? 1 : 0;
    },
    narrow: (src, dst) => {
      for (let i = 0; i < src.length; i++) dst[i] = src[i] === 0 ? 0 : 1;
    },
  },
};
