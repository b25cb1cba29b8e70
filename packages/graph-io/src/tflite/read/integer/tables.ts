/** Functions of one 8-bit number as tables of 256 entries, filled as TensorFlow Lite fills or computes them. */
import { dtypes, type Value } from '@penjing/core';
import type { TfliteReading } from '../operator.js';
import { fixedPoint, multiplied } from './fixed-point.js';
import { type ExactRow, type Grid, gridOf, roundAway } from './range.js';

/** Codes less their zero points, in and out. */
type Entry = (code: number, input: Grid, output: Grid, reading: TfliteReading) => number;

/** Every code of the input looked up. */
export function lookUp(reading: TfliteReading, codes: Value, { low, high }: Pick<Grid, 'low' | 'high'>, entry: (code: number) => number, dtype: 'float32' | 'float64' = 'float32'): Value {
  const { builder } = reading.values;
  const places = reading.op('Cast', [low === 0 ? codes : reading.op('Sub', [codes, builder.constant('float32', low)])], { to: dtypes.int32.onnx });
  const table = Array.from({ length: high - low + 1 }, (_, i) => entry(i + low));
  return reading.op('Gather', [builder.constant(dtype, table), places], { axis: 0 });
}

const table = (entry: Entry): ExactRow => (reading) => {
  const { values } = reading;
  const input = gridOf(values, reading.index(0));
  const output = gridOf(values, reading.result());
  if (!input || !output) return false;
  const place = reading.place();
  const bounded = (code: number): number => Math.min(output.high, Math.max(output.low, entry(code, input, output, reading)));
  values.defineCodes(reading.result(), lookUp(reading, values.codes(reading.index(0), place), input, bounded), place);
  return true;
};

const f = Math.fround;

/** `LUTPopulate`: a function of float32, its result times the inverse of the scale. */
const float = (compute: (value: number, reading: TfliteReading) => number): Entry => (code, input, output, reading) =>
  roundAway(f(f(compute(f(code * input.scale), reading)) * f(1 / output.scale)));

const rescaled: Entry = (code, input, output) => multiplied(code, fixedPoint(input.scale / output.scale));

const leakyRelu: Entry = (code, input, output, reading) => {
  const alpha = reading.optional('LeakyReluOptions').alpha ?? 0;
  if (code >= 0) return multiplied(code, fixedPoint(f(input.scale / output.scale)));
  return Math.sign(alpha) * multiplied(code, fixedPoint(f(f(input.scale * Math.abs(alpha)) / output.scale)));
};

const bounded = (low: number, high: number): Entry => (code, input, output) => {
  const limit = (value: number): number => roundAway(f(f(value) / output.scale));
  return Math.min(Number.isFinite(high) ? limit(high) : Infinity, Math.max(limit(low), multiplied(code, fixedPoint(f(input.scale / output.scale)))));
};

/** In 16 bits, as `HardSwish` of the reference kernels. */
const hardSwish: Entry = (code, input, output) => {
  const half = (value: number): { multiplier: number; shift: number } => {
    const { multiplier, shift } = fixedPoint(value);
    return { multiplier: Math.min(32767, Math.floor((multiplier + 2 ** 15) / 2 ** 16)), shift };
  };
  const int16 = (value: number): number => Math.max(-32768, Math.min(32767, value));
  const product = (a: number, b: number): number => int16(trunc((a * b + (a * b >= 0 ? 2 ** 14 : 1 - 2 ** 14)) / 2 ** 15));
  const hires = f(input.scale / 128);
  const out = half(f(hires / output.scale));
  const reluish = half(f(hires / f(3 / 32768)));
  const value = code * 128;
  const preshift = product(value, out.multiplier);
  let gate = value;
  if (reluish.shift > 0) gate = int16(gate * 2 ** (reluish.shift - 1));
  gate = product(gate, reluish.multiplier);
  if (reluish.shift > 0) gate = int16(gate * 2);
  if (reluish.shift < 0) gate = shiftRight(gate, -reluish.shift);
  gate = Math.floor((gate + 2 ** 15) / 2);
  return shiftRight(int16(trunc((gate * preshift) / 2 ** 15)), -out.shift);
};

const trunc = Math.trunc;

function shiftRight(value: number, bits: number): number {
  return bits <= 0 ? value : roundAway(value / 2 ** bits);
}

const absolute: Entry = (code, input, output) => multiplied(Math.abs(code), fixedPoint(f(input.scale / output.scale)));

/** Floats times the inverse of the scale, half away from zero. */
function fromFloat(reading: TfliteReading): boolean {
  const { values } = reading;
  const output = gridOf(values, reading.result());
  if (!output || values.scales(reading.index(0)) || reading.tensor(0).dtype !== 'float32') return false;
  const place = reading.place();
  const number = (value: number): Value => values.builder.constant('float32', value);
  const scaled = reading.op('Mul', [place === 'first' ? reading.first(0) : reading.last(0), number(f(1 / output.scale))]);
  const whole = reading.op('Mul', [reading.op('Sign', [scaled]), reading.op('Floor', [reading.op('Add', [reading.op('Abs', [scaled]), number(0.5)])])]);
  values.defineCodes(reading.result(), reading.op('Clip', [whole, number(output.low), number(output.high)]), place);
  return true;
}

export const exactTables: Readonly<Record<string, ExactRow>> = {
  LOGISTIC: table(float((x) => f(1 / f(1 + f(Math.exp(-x)))))),
  TANH: table(float((x) => Math.tanh(x))),
  ELU: table(float((x) => (x < 0 ? Math.expm1(x) : x))),
  EXP: table(float((x) => Math.exp(x))),
  ABS: table(absolute),
  LEAKY_RELU: table(leakyRelu),
  HARD_SWISH: table(hardSwish),
  RELU: table(bounded(0, Infinity)),
  RELU6: table(bounded(0, 6)),
  RELU_N1_TO_1: table(bounded(-1, 1)),
  RELU_0_TO_1: table(bounded(0, 1)),
  QUANTIZE: (reading) => fromFloat(reading) || table(rescaled)(reading),
};
