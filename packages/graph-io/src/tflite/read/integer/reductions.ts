/** Means, sums and softmax of tensors of 8 bits. */
import { normalizeAxis, type Value } from '@penjing/core';
import { padsOf } from '../operators/windows.js';
import { firstAxis } from '../places.js';
import { clipped, type FixedPoint, fixedPoint, rescale, toDouble } from './fixed-point.js';
import { activated, type ExactRow, gridOf, roundAway, sameGrid } from './range.js';
import { lookUp } from './tables.js';

const f = Math.fround;

/** Rounded half away from zero, over the elements that are there; zero points stay in, as in TensorFlow Lite. */
const averagePool: ExactRow = (reading) => {
  const { values } = reading;
  const { builder } = values;
  const [input, output] = [gridOf(values, reading.index(0)), gridOf(values, reading.result())];
  const { padding, strideH, strideW, filterHeight, filterWidth, fusedActivationFunction } = reading.options('Pool2DOptions');
  const clip = output && activated(output, fusedActivationFunction);
  const window = filterHeight * filterWidth;
  // float32 averages times the count round to the sum while it has fewer than 20 bits
  if (!input || !clip || !sameGrid(input, output) || window * 255 >= 2 ** 20) return false;
  const pads = padsOf(reading, padding, { kernel: [filterHeight, filterWidth], strides: [strideH, strideW] });
  const counts = pads.every((pad) => pad === 0) ? builder.constant('float32', window) : countsOf();
  if (!counts) return false;
  const number = (value: number): Value => builder.constant('float32', value);
  const codes = values.codes(reading.index(0), 'first');
  const raw = input.zeroPoint === 0 ? codes : reading.op('Add', [codes, number(input.zeroPoint)]);
  const averages = reading.op('AveragePool', [raw], { kernel_shape: [filterHeight, filterWidth], strides: [strideH, strideW], pads, count_include_pad: 1 });
  const sums = reading.op('Round', [reading.op('Mul', [averages, number(window)])]);
  const halves = reading.op('Floor', [reading.op('Mul', [counts, number(0.5)])]);
  const whole = reading.op('Floor', [reading.op('Div', [reading.op('Add', [reading.op('Abs', [sums]), halves]), counts])]);
  const signed = reading.op('Mul', [reading.op('Sign', [sums]), whole]);
  const centred = input.zeroPoint === 0 ? signed : reading.op('Sub', [signed, number(input.zeroPoint)]);
  values.defineCodes(reading.result(), reading.op('Clip', [centred, number(clip[0]), number(clip[1])]), 'first');
  return true;

  /** How many elements each window has, (1, 1, height, width); undefined where a size is not fixed. */
  function countsOf(): Value | undefined {
    const { shape, shapeSignature = shape } = reading.tensor(0);
    if (shapeSignature.slice(1, 3).some((size) => size < 0)) return undefined;
    const along = (size: number, kernel: number, stride: number, before: number, after: number): number[] =>
      Array.from({ length: Math.floor((size + before + after - kernel) / stride) + 1 }, (_, i) => Math.min(size, i * stride - before + kernel) - Math.max(0, i * stride - before));
    const rows = along(shape[1]!, filterHeight, strideH, pads[0]!, pads[2]!);
    const columns = along(shape[2]!, filterWidth, strideW, pads[1]!, pads[3]!);
    return builder.constant('float32', rows.flatMap((row) => columns.map((column) => row * column)), [1, 1, rows.length, columns.length]);
  }
};

const reduce = (mean: boolean): ExactRow => (reading) => {
  const { values } = reading;
  const [input, output] = [gridOf(values, reading.index(0)), gridOf(values, reading.result())];
  const { shape, shapeSignature = shape } = reading.tensor(0);
  const given = values.numbers(reading.index(1));
  if (!input || !output || !given) return false;
  const axes = [...new Set(given.map((axis) => normalizeAxis(axis, shape.length)))];
  const count = axes.reduce((product, axis) => product * shape[axis]!, 1);
  if (axes.length === 0 || count * 255 >= 2 ** 24 || axes.some((axis) => shapeSignature[axis]! < 0)) return false;
  const keep = reading.optional('ReducerOptions').keepDims ?? false;
  const first = reading.isFirst(0) && (keep || axes.includes(1) && axes.includes(2));
  const places = reading.ints((first ? axes.map(firstAxis) : axes).sort((a, b) => a - b));
  const sums = reading.op('ReduceSum', [values.codes(reading.index(0), first ? 'first' : 'last'), places], { keepdims: keep ? 1 : 0 });
  const ratio = fixedPoint(input.scale / output.scale);
  const pooled = keep && shape.length === 4 && axes.length === 2 && axes.includes(1) && axes.includes(2);
  const scaled = !mean ? floatSum() : pooled ? pooledMean() : rescale(reading, toDouble(reading, sums), { factors: [dividedBy(ratio, count)], shape: [], bound: count * 255 });
  values.defineCodes(reading.result(), clipped(reading, scaled, [output.low, output.high]), first && keep ? 'first' : 'last');
  return true;

  /** Sums are scaled in float32 and rounded half away from zero. */
  function floatSum(): Value {
    const { builder } = values;
    const number = (value: number): Value => builder.constant('float32', value);
    const scale = f(input!.scale / output!.scale);
    const raw = input!.zeroPoint === 0 ? sums : reading.op('Add', [sums, number(count * input!.zeroPoint)]);
    const exact = reading.op('Add', [reading.op('Mul', [raw, number(scale)]), number(f(f(-input!.zeroPoint * scale) * count))]);
    const whole = reading.op('Mul', [reading.op('Sign', [exact]), reading.op('Floor', [reading.op('Add', [reading.op('Abs', [exact]), number(0.5)])])]);
    return toDouble(reading, whole);
  }

  /** Over height and width, the zero point of the input is taken off last, scaled and rounded on its own. */
  function pooledMean(): Value {
    const raw = input!.zeroPoint === 0 ? sums : reading.op('Add', [sums, values.builder.constant('float32', count * input!.zeroPoint)]);
    const factor = fixedPoint(f(input!.scale / f(count * output!.scale)));
    const means = rescale(reading, toDouble(reading, raw), { factors: [factor], shape: [], bound: count * 255, upwards: true });
    return reading.op('Sub', [means, values.builder.constant('float64', roundAway(f(f(input!.zeroPoint * input!.scale) / output!.scale)))]);
  }
};

/** The count goes into the factor, as far as its bits allow. */
function dividedBy({ multiplier, shift }: FixedPoint, count: number): FixedPoint {
  const bits = Math.min(Math.floor(Math.log2(count)), 32, 31 + shift);
  return { multiplier: Math.floor((multiplier * 2 ** bits) / count), shift: shift - bits };
}

/** Exponentials of differences to the maximum from a table of float32, their shares rounded half away from zero. */
const softmax: ExactRow = (reading) => {
  const { values } = reading;
  const { builder } = values;
  const [input, output] = [gridOf(values, reading.index(0)), gridOf(values, reading.result())];
  if (!input || !output) return false;
  const step = f(f(-input.scale) * f(reading.optional('SoftmaxOptions').beta ?? 1));
  const number = (value: number): Value => builder.constant('float32', value);
  const codes = values.codes(reading.index(0), 'last');
  const below = reading.op('Sub', [reading.op('ReduceMax', [codes, reading.ints([-1])], { keepdims: 1 }), codes]);
  const powers = lookUp(reading, below, { low: 0, high: 255 }, (difference) => Math.exp(f(step * difference)));
  const total = reading.op('ReduceSum', [powers, reading.ints([-1])], { keepdims: 1 });
  const shares = reading.op('Mul', [powers, reading.op('Div', [number(1), reading.op('Mul', [total, number(output.scale)])])]);
  const rounded = reading.op('Floor', [reading.op('Add', [shares, number(0.5)])]);
  // the smallest share is 0, which the zero point stands for
  values.defineCodes(reading.result(), reading.op('Clip', [rounded, number(output.low), number(output.high)]));
  return true;
};

export const exactReductions = { AVERAGE_POOL_2D: averagePool, MEAN: reduce(true), SUM: reduce(false), SOFTMAX: softmax };
