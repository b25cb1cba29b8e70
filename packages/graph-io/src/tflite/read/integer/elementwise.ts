/** Sums, differences and products of two tensors of 8 bits. */
import type { Value } from '@penjing/core';
import type { TfliteReading } from '../operator.js';
import { clipped, fixedPoint, rescale, toDouble } from './fixed-point.js';
import { activated, type ExactRow, type Grid, gridOf } from './range.js';

/** Bits by which addends are shifted to the left before they are scaled. */
const LEFT_SHIFT = 20;

const f = Math.fround;

interface Pair {
  readonly grids: readonly [Grid, Grid];
  readonly output: Grid;
  readonly clip: readonly [number, number];
  readonly codes: readonly [Value, Value];
  readonly place: 'first' | 'last';
}

function pairOf(reading: TfliteReading, activation: number | undefined): Pair | undefined {
  const { values } = reading;
  const [a, b, output] = [gridOf(values, reading.index(0)), gridOf(values, reading.index(1)), gridOf(values, reading.result())];
  const clip = output && activated(output, activation);
  if (!a || !b || !clip) return undefined;
  const place = reading.placeTogether();
  return { grids: [a, b], output, clip, codes: [operand(0), operand(1)], place };

  function operand(i: number): Value {
    const index = reading.index(i);
    return place === 'first' && values.isConstant(index) ? values.constantCodesFirst(index) : values.codes(index, values.tensor(index).shape.length === 4 ? place : 'last');
  }
}

const OPTIONS = { ADD: 'AddOptions', SUB: 'SubOptions', MUL: 'MulOptions' } as const;

const sum = (type: 'ADD' | 'SUB'): ExactRow => (reading) => {
  const pair = pairOf(reading, reading.optional(OPTIONS[type]).fusedActivationFunction);
  if (!pair) return false;
  const { grids, output, clip, codes, place } = pair;
  const twice = 2 * Math.max(grids[0].scale, grids[1].scale);
  const scaled = codes.map((code, i) => {
    const shifted = reading.op('Mul', [toDouble(reading, code), reading.values.builder.constant('float64', 2 ** LEFT_SHIFT)]);
    return rescale(reading, shifted, { factors: [fixedPoint(grids[i]!.scale / twice)], shape: [], bound: 255 * 2 ** LEFT_SHIFT, grain: 2 ** LEFT_SHIFT });
  });
  const total = reading.op(type === 'ADD' ? 'Add' : 'Sub', scaled);
  const result = rescale(reading, total, { factors: [fixedPoint(twice / (2 ** LEFT_SHIFT * output.scale))], shape: [], bound: 255 * 2 ** LEFT_SHIFT });
  reading.values.defineCodes(reading.result(), clipped(reading, result, clip), place);
  return true;
};

const product: ExactRow = (reading) => {
  const pair = pairOf(reading, reading.optional('MulOptions').fusedActivationFunction);
  if (!pair) return false;
  const { grids, output, clip, codes, place } = pair;
  // in float32, as TensorFlow Lite does
  const factor = fixedPoint(f(f(grids[0].scale * grids[1].scale) / output.scale));
  const products = toDouble(reading, reading.op('Mul', codes));
  const result = rescale(reading, products, { factors: [factor], shape: [], bound: 255 * 255 });
  reading.values.defineCodes(reading.result(), clipped(reading, result, clip), place);
  return true;
};

/** One factor for codes above zero, another for the products of those below and alpha. */
const prelu: ExactRow = (reading) => {
  const pair = pairOf(reading, undefined);
  if (!pair) return false;
  const { grids, output, clip, codes, place } = pair;
  const zero = reading.values.builder.constant('float32', 0);
  const above = reading.op('Max', [codes[0], zero]);
  const below = reading.op('Mul', [reading.op('Min', [codes[0], zero]), codes[1]]);
  const scaled = [[above, fixedPoint(f(grids[0].scale / output.scale))], [below, fixedPoint(f(f(grids[0].scale * grids[1].scale) / output.scale))]] as const;
  const [a, b] = scaled.map(([value, factor]) => rescale(reading, toDouble(reading, value), { factors: [factor], shape: [], bound: 255 * 255 }));
  reading.values.defineCodes(reading.result(), clipped(reading, reading.op('Add', [a, b]), clip), place);
  return true;
};

export const exactElementwise = { ADD: sum('ADD'), SUB: sum('SUB'), MUL: product, PRELU: prelu };
