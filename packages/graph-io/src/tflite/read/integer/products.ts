/** Convolutions and fully connected layers on integers of 8 bits, bit for bit as TensorFlow Lite's own kernels compute them. */
import { lazy, type Value } from '@penjing/core';
import { type Convolution, conv2d, depthwiseConv2d, transposeConv } from '../operators/windows.js';
import { fromRows, rowsOf } from '../operators/linalg.js';
import type { TfliteReading } from '../operator.js';
import { clipped, type FixedPoint, fixedPoint, rescale, toDouble } from './fixed-point.js';
import { activated, type ExactRow, type Grid, gridOf } from './range.js';

/** Sums below this are exact in float32, in whatever order. */
const EXACT = 2 ** 24;

interface Operands {
  readonly input: Grid;
  readonly output: Grid;
  readonly clip: readonly [number, number];
  readonly factors: readonly FixedPoint[];
  /** The largest product, and the largest sum of them: by the weights themselves where they were looked at. */
  readonly term: number;
  readonly sum: number;
  /** Constants of the bias; undefined without one. */
  readonly bias: readonly number[] | undefined;
}

/** Undefined when an operand is not of 8 bits, or the bias too long to be looked at. */
function operandsOf(reading: TfliteReading, x: number, weight: number, bias: number, terms: number, activation: number | undefined): Operands | undefined {
  const { values } = reading;
  const input = gridOf(values, reading.index(x));
  const output = gridOf(values, reading.result());
  const scales = values.scales(reading.index(weight));
  const { dtype } = reading.tensor(weight);
  if (!input || !output || !scales || !values.isConstant(reading.index(weight))) return undefined;
  const signed = dtype === 'int8' || dtype === 'int4' || dtype === 'int2';
  if (!(signed || (dtype === 'uint8' && scales.scales.length === 1)) || (signed && scales.zeroPoints.some((zero) => zero !== 0))) return undefined;
  const clip = activated(output, activation);
  const numbers = reading.has(bias) ? values.numbers(reading.index(bias)) : [];
  if (!clip || !numbers) return undefined;
  // with one scale, fully connected layers and those of uint8 multiply scales in float32 (GetQuantizedConvolutionMultipler)
  const single = scales.scales.length === 1 && (reading.type === 'FULLY_CONNECTED' || reading.tensor(x).dtype === 'uint8');
  const factors = scales.scales.map((scale) => fixedPoint((single ? Math.fround(input.scale * scale) : input.scale * scale) / output.scale));
  const largest = Math.max(-input.low, input.high);
  const term = largest * (signed ? 128 : 255);
  const sum = Math.min(terms * term, largest * (values.weightSum(reading.index(weight)) ?? Infinity));
  return { input, output, clip, factors, term, sum, bias: reading.has(bias) ? numbers : undefined };
}

const biggest = (numbers: readonly number[]): number => numbers.reduce((most, number) => Math.max(most, Math.abs(number)), 0);

/** Sums of products and bias in float64, each an integer. */
function accumulate(reading: TfliteReading, { sum, bias }: Operands, shape: readonly number[], product: (bias?: Value) => Value): Value {
  const { builder } = reading.values;
  const fits = bias && sum + biggest(bias) < EXACT;
  const sums = toDouble(reading, product(fits ? builder.constant('float32', bias) : undefined));
  return bias && !fits ? reading.op('Add', [sums, builder.constant('float64', bias, shape)]) : sums;
}

/** Weights of 4 and 2 bits are multiplied by the reference kernels. */
const packed = (reading: TfliteReading, weight: number): boolean => ['int4', 'int2'].includes(reading.tensor(weight).dtype);

/** What ruy multiplies; the others have kernels of their own, those of the reference among them. */
const roundsUpwards = (reading: TfliteReading, { attributes, weight }: Convolution): boolean => reading.type === 'CONV_2D' && attributes['group'] === 1 && !packed(reading, weight);

const convolution = (of: (reading: TfliteReading) => Convolution): ExactRow => (reading) => {
  const conv = of(reading);
  const operands = operandsOf(reading, conv.x, conv.weight, conv.bias, conv.terms, conv.activation);
  if (!operands) return false;
  const { values } = reading;
  const { sum, term, bias, clip, factors } = operands;
  const channels = [1, conv.outputs, 1, 1];
  const x = values.codes(reading.index(conv.x), 'first');
  const weight = values.weightCodes(reading.index(conv.weight), conv.move);
  const inputs = reading.tensor(conv.x).shape[3]!;
  const size = sum < EXACT ? inputs : Math.floor((EXACT - 1) / (term * (conv.terms / inputs)));
  if (size < inputs && (size < 1 || conv.opType !== 'Conv' || conv.attributes['group'] !== 1)) return false;
  const acc = size >= inputs
    ? accumulate(reading, operands, channels, (given) => reading.op(conv.opType, [x, weight, given], conv.attributes))
    : inParts();
  const shape = factors.length === 1 ? [] : channels;
  const scaled = rescale(reading, acc, { factors, shape, bound: sum + biggest(bias ?? []), upwards: roundsUpwards(reading, conv) });
  values.defineCodes(reading.result(), clipped(reading, scaled, clip), 'first');
  return true;

  /** Convolutions over some of the input channels each, so that every sum is exact. */
  function inParts(): Value {
    const pieces: Value[] = [];
    for (let start = 0; start < inputs; start += size) {
      const at = [reading.ints([start]), reading.ints([Math.min(inputs, start + size)]), reading.ints([1])];
      const piece = reading.op(conv.opType, [reading.op('Slice', [x, ...at]), reading.op('Slice', [weight, ...at])], conv.attributes);
      pieces.push(toDouble(reading, piece));
    }
    const total = pieces.reduce((a, b) => reading.op('Add', [a, b]));
    return bias ? reading.op('Add', [total, values.builder.constant('float64', bias, channels)]) : total;
  }
};

const fullyConnected: ExactRow = (reading) => {
  const { fusedActivationFunction, weightsFormat = 0 } = reading.optional('FullyConnectedOptions');
  const terms = reading.tensor(1).shape[1];
  if (weightsFormat !== 0 || reading.tensor(1).shape.length !== 2) return false;
  const operands = operandsOf(reading, 0, 1, 2, terms!, fusedActivationFunction);
  if (!operands) return false;
  const { values } = reading;
  const { sum, bias = [], clip, factors } = operands;
  const x = rowsOf(reading, values.codes(reading.index(0), 'last'));
  const weight = values.weightCodes(reading.index(1), (tensor) => lazy.transpose(tensor, [1, 0]));
  // float64 holds any sum of products of 8 bits
  const products = sum < EXACT ? toDouble(reading, reading.op('MatMul', [x, weight])) : reading.op('MatMul', [toDouble(reading, x), toDouble(reading, weight)]);
  const acc = bias.length > 0 ? reading.op('Add', [products, values.builder.constant('float64', bias)]) : products;
  const scaled = rescale(reading, acc, { factors, shape: factors.length === 1 ? [] : [factors.length], bound: sum + biggest(bias), upwards: packed(reading, 1) === false });
  values.defineCodes(reading.result(), fromRows(reading, clipped(reading, scaled, clip)));
  return true;
};

export const exactProducts = {
  CONV_2D: convolution(conv2d),
  DEPTHWISE_CONV_2D: convolution(depthwiseConv2d),
  TRANSPOSE_CONV: convolution(transposeConv),
  FULLY_CONNECTED: fullyConnected,
};
