/** Convolutions and pooling over pictures. */
import type { Value } from '@penjing/core';
import { activateResult } from '../activation.js';
import { hybridConv } from '../integer/hybrid.js';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';
import { type Convolution, conv2d, depthwiseConv2d, padsOf, transposeConv, type Windows } from './windows.js';

/** A bias, or nothing; quantized ones are int32 with the scales of input times weights. */
function bias(reading: TfliteReading, i: number): Value | undefined {
  return reading.has(i) ? reading.values.weight(reading.index(i)) : undefined;
}

const convolution = (of: (reading: TfliteReading) => Convolution): ReadRow => (reading) => {
  const shape = of(reading);
  if (hybridConv(reading, shape)) return;
  const weight = reading.values.weight(reading.index(shape.weight), shape.move, shape.axis);
  const y = reading.op(shape.opType, [reading.first(shape.x), weight, bias(reading, shape.bias)], shape.attributes);
  reading.define(activateResult(reading, y, shape.activation), true);
};

const pool = (opType: 'AveragePool' | 'MaxPool'): ReadRow => (reading) => {
  const { padding: pad, strideH, strideW, filterHeight, filterWidth, fusedActivationFunction } = reading.options('Pool2DOptions');
  const windows: Windows = { kernel: [filterHeight, filterWidth], strides: [strideH, strideW] };
  const pads = padsOf(reading, pad, windows);
  const shared = { kernel_shape: [filterHeight, filterWidth], strides: [strideH, strideW], pads };
  const pooled = reading.op(opType, [reading.first(0)], opType === 'AveragePool' ? { ...shared, count_include_pad: 0 } : shared);
  reading.define(activateResult(reading, pooled, fusedActivationFunction), true);
};

/** The root of the mean of squares, padding not counted. */
const l2Pool: ReadRow = (reading) => {
  const { padding: pad, strideH, strideW, filterHeight, filterWidth, fusedActivationFunction } = reading.options('Pool2DOptions');
  const pads = padsOf(reading, pad, { kernel: [filterHeight, filterWidth], strides: [strideH, strideW] });
  const x = reading.first(0);
  const means = reading.op('AveragePool', [reading.op('Mul', [x, x])], { kernel_shape: [filterHeight, filterWidth], strides: [strideH, strideW], pads, count_include_pad: 0 });
  reading.define(activateResult(reading, reading.op('Sqrt', [means]), fusedActivationFunction), true);
};

export const conv: ReadTable = {
  CONV_2D: convolution(conv2d),
  DEPTHWISE_CONV_2D: convolution(depthwiseConv2d),
  TRANSPOSE_CONV: convolution(transposeConv),
  AVERAGE_POOL_2D: pool('AveragePool'),
  MAX_POOL_2D: pool('MaxPool'),
  L2_POOL_2D: l2Pool,
};
