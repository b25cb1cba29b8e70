/** TensorFlow Lite's fixed-point products, exactly, in the float64 that ONNX Runtime has kernels for. */
import { dtypes, type Value } from '@penjing/core';
import type { TfliteReading } from '../operator.js';

/** A positive real number as `multiplier` · 2^(`shift` - 31), the multiplier in [2^30, 2^31), or 0. */
export interface FixedPoint {
  readonly multiplier: number;
  readonly shift: number;
}

/** As `QuantizeMultiplier` of TensorFlow Lite rounds it. */
export function fixedPoint(real: number): FixedPoint {
  if (!(real > 0)) return { multiplier: 0, shift: 0 };
  let shift = Math.ceil(Math.log2(real));
  // log2 may be off by an ulp at powers of two: the fraction is in [1/2, 1)
  while (real / 2 ** shift >= 1) shift++;
  while (real / 2 ** shift < 0.5) shift--;
  let multiplier = Math.round((real / 2 ** shift) * 2 ** 31);
  if (multiplier === 2 ** 31) {
    multiplier = 2 ** 30;
    shift++;
  }
  return shift < -31 ? { multiplier: 0, shift: 0 } : { multiplier, shift };
}

/** One product of an integer on this side, for tables. Twice rounded, as below. */
export function multiplied(x: number, { multiplier, shift }: FixedPoint): number {
  const left = BigInt(Math.max(0, shift));
  const right = BigInt(Math.max(0, -shift));
  const high = ((BigInt(x) << left) * BigInt(multiplier) + (1n << 30n)) >> 31n;
  if (right === 0n) return Number(high);
  const half = (1n << (right - 1n)) - (high < 0n ? 1n : 0n);
  return Number((high + half) >> right);
}

export interface Requantization {
  /** One, or one per entry of `shape`. */
  readonly factors: readonly FixedPoint[];
  /** Against which they broadcast. */
  readonly shape: readonly number[];
  /** No integer that comes in is larger. */
  readonly bound: number;
  /** All of them are multiples of this power of two. */
  readonly grain?: number;
  /** The shift rounds half upwards, as in the matrix products of ruy; away from zero when absent. */
  readonly upwards?: boolean;
}

/** Half is rounded away from zero: a hair more than the power of two, less than the nearest other fraction is away. */
const HAIR = 1 + 2 ** -40;

/** Results beyond this are clipped, so that it does not matter which bits they lack. */
const RANGE = 2 ** 9;

/**
 * Integers in float64 times fixed-point factors, in float64. TensorFlow Lite rounds twice: the product of 31 bits with half upwards
 * (SaturatingRoundingDoublingHighMul), then the shift to the right with half away from zero (RoundingDivideByPOT).
 */
export function rescale(reading: TfliteReading, x: Value, { factors, shape, bound, grain = 1, upwards = false }: Requantization): Value {
  const { builder } = reading.values;
  const constant = (of: (factor: FixedPoint) => number): Value => builder.constant('float64', factors.map(of), shape.length === 0 ? [] : shape);
  const scalar = (value: number): Value => builder.constant('float64', value);
  const left = ({ shift }: FixedPoint): number => 2 ** Math.max(0, shift);
  const right = ({ shift }: FixedPoint): number => Math.max(0, -shift);
  // float64 has 53 bits; a product whose result is not clipped has at most 9 + right before the 31 of the fraction
  const fits = factors.every((factor) => Math.min((bound / grain) * left(factor) * factor.multiplier, RANGE * 2 ** (31 + right(factor))) < 2 ** 53);
  const high = fits
    ? reading.op('Floor', [reading.op('Add', [reading.op('Mul', [x, constant((factor) => (factor.multiplier * left(factor)) / 2 ** 31)]), scalar(0.5)])])
    : highProduct();
  if (factors.every((factor) => right(factor) === 0)) return high;
  const shifted = reading.op('Mul', [high, constant((factor) => (right(factor) === 0 || upwards ? 1 : HAIR) / 2 ** right(factor))]);
  return reading.op('Floor', [reading.op('Add', [shifted, scalar(0.5)])]);

  /** The multiplier in two parts of 16 bits: floor((a + floor(b / 2^16)) / 2^15 + 1/2) is the rounded product. */
  function highProduct(): Value {
    const upper = reading.op('Mul', [x, constant((factor) => (Math.floor(factor.multiplier / 2 ** 16) * left(factor)) / 2 ** 15)]);
    const lower = reading.op('Floor', [reading.op('Mul', [x, constant((factor) => ((factor.multiplier % 2 ** 16) * left(factor)) / 2 ** 16)])]);
    const sum = reading.op('Add', [upper, reading.op('Mul', [lower, scalar(2 ** -15)])]);
    return reading.op('Floor', [reading.op('Add', [sum, scalar(0.5)])]);
  }
}

export function toDouble(reading: TfliteReading, x: Value): Value {
  return reading.op('Cast', [x], { to: dtypes.float64.onnx });
}

/** Clipped to the range of the result, in float32: what `defineCodes` wants. */
export function clipped(reading: TfliteReading, x: Value, [low, high]: readonly [number, number]): Value {
  const { builder } = reading.values;
  const bounded = reading.op('Clip', [x, builder.constant('float64', low), builder.constant('float64', high)]);
  return reading.op('Cast', [bounded], { to: dtypes.float32.onnx });
}
