/** Convolutions and pooling over pictures. */
import { lazy, type Value } from '@penjing/core';
import { padding } from '../../schema.js';
import { activate } from '../activation.js';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

interface Windows {
  /** (height, width) each. */
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations?: readonly [number, number];
}

/** Pads of ONNX: all that TensorFlow's SAME adds, the odd element at the end. Sizes are those of the declared shape. */
function padsOf(reading: TfliteReading, code: number, { kernel, strides, dilations = [1, 1] }: Windows): number[] {
  if (code === padding.VALID) return [0, 0, 0, 0];
  if (code !== padding.SAME) throw reading.fail(`its padding has the code ${code}, which is not known`);
  const { shape, shapeSignature } = reading.tensor(0);
  const totals = [0, 1].map((i) => {
    const size = shape[i + 1]!;
    // with a stride of 1 the size does not matter
    if ((shapeSignature?.[i + 1] ?? size) < 0 && strides[i] !== 1) throw reading.fail('its padding depends on a size that is not fixed');
    const reach = (kernel[i]! - 1) * dilations[i]! + 1;
    return strides[i] === 1 ? reach - 1 : Math.max(0, (Math.ceil(size / strides[i]!) - 1) * strides[i]! + reach - size);
  });
  const begins = totals.map((total) => Math.floor(total / 2));
  return [...begins, ...totals.map((total, i) => total - begins[i]!)];
}

/** A bias, or nothing; quantized ones are int32 with the scales of input times weights. */
function bias(reading: TfliteReading, i: number): Value | undefined {
  return reading.has(i) ? reading.values.weight(reading.index(i)) : undefined;
}

/** Rank 4 operands, as the schema wants them. */
function sizes(reading: TfliteReading, i: number): readonly [number, number, number, number] {
  const { shape, name } = reading.tensor(i);
  if (shape.length !== 4) throw reading.fail(`${name} has ${shape.length} dimensions, not 4`);
  return shape as unknown as readonly [number, number, number, number];
}

const conv2d: ReadRow = (reading) => {
  const { padding: pad, strideH, strideW, dilationHFactor, dilationWFactor, fusedActivationFunction } = reading.options('Conv2DOptions');
  // weights are (outputs, height, width, inputs / groups)
  const [outputs, height, width, inputs] = sizes(reading, 1);
  const group = sizes(reading, 0)[3] / inputs;
  if (!Number.isInteger(group) || group < 1 || outputs % group !== 0) throw reading.fail(`${inputs} input channels of its weights do not divide those of its input`);
  const windows: Windows = { kernel: [height, width], strides: [strideH, strideW], dilations: [dilationHFactor, dilationWFactor] };
  const weight = reading.values.weight(reading.index(1), (tensor) => lazy.transpose(tensor, [0, 3, 1, 2]));
  const y = reading.op('Conv', [reading.first(0), weight, bias(reading, 2)], {
    kernel_shape: [height, width], strides: [strideH, strideW], dilations: [dilationHFactor, dilationWFactor], pads: padsOf(reading, pad, windows), group,
  });
  reading.define(activate(reading, y, fusedActivationFunction), true);
};

const depthwiseConv2d: ReadRow = (reading) => {
  const { padding: pad, strideH, strideW, dilationHFactor, dilationWFactor, fusedActivationFunction } = reading.options('DepthwiseConv2DOptions');
  // weights are (1, height, width, outputs); output c reads input c / multiplier, as groups of ONNX do
  const [, height, width] = sizes(reading, 1);
  const group = sizes(reading, 0)[3];
  const windows: Windows = { kernel: [height, width], strides: [strideH, strideW], dilations: [dilationHFactor, dilationWFactor] };
  const weight = reading.values.weight(reading.index(1), (tensor) => lazy.transpose(tensor, [3, 0, 1, 2]));
  const y = reading.op('Conv', [reading.first(0), weight, bias(reading, 2)], {
    kernel_shape: [height, width], strides: [strideH, strideW], dilations: [dilationHFactor, dilationWFactor], pads: padsOf(reading, pad, windows), group,
  });
  reading.define(activate(reading, y, fusedActivationFunction), true);
};

const transposeConv: ReadRow = (reading) => {
  const { padding: pad, strideH, strideW, fusedActivationFunction } = reading.options('TransposeConvOptions');
  const [, height, width] = sizes(reading, 1);
  const [, inHeight, inWidth] = sizes(reading, 2);
  const result = reading.resultTensor().shape;
  const kernel = [height, width];
  const strides = [strideH, strideW];
  const pads: number[] = [];
  const extra: number[] = [];
  [inHeight, inWidth].forEach((size, i) => {
    const full = (size - 1) * strides[i]! + kernel[i]!;
    const total = Math.max(0, full - result[i + 1]!);
    if (pad === padding.VALID && total > 0) throw reading.fail(`its output of ${result[i + 1]!} is smaller than VALID padding makes it`);
    pads[i] = Math.floor(total / 2);
    pads[i + 2] = total - pads[i];
    extra[i] = Math.max(0, result[i + 1]! - full);
  });
  // weights are (outputs, height, width, inputs)
  const weight = reading.values.weight(reading.index(1), (tensor) => lazy.transpose(tensor, [3, 0, 1, 2]), 1);
  const y = reading.op('ConvTranspose', [reading.first(2), weight, bias(reading, 3)], { kernel_shape: kernel, strides, pads, output_padding: extra });
  reading.define(activate(reading, y, fusedActivationFunction), true);
};

const pool = (opType: 'AveragePool' | 'MaxPool'): ReadRow => (reading) => {
  const { padding: pad, strideH, strideW, filterHeight, filterWidth, fusedActivationFunction } = reading.options('Pool2DOptions');
  const windows: Windows = { kernel: [filterHeight, filterWidth], strides: [strideH, strideW] };
  const pads = padsOf(reading, pad, windows);
  const shared = { kernel_shape: [filterHeight, filterWidth], strides: [strideH, strideW], pads };
  const pooled = reading.op(opType, [reading.first(0)], opType === 'AveragePool' ? { ...shared, count_include_pad: 0 } : shared);
  reading.define(activate(reading, pooled, fusedActivationFunction), true);
};

/** The root of the mean of squares, padding not counted. */
const l2Pool: ReadRow = (reading) => {
  const { padding: pad, strideH, strideW, filterHeight, filterWidth, fusedActivationFunction } = reading.options('Pool2DOptions');
  const pads = padsOf(reading, pad, { kernel: [filterHeight, filterWidth], strides: [strideH, strideW] });
  const x = reading.first(0);
  const means = reading.op('AveragePool', [reading.op('Mul', [x, x])], { kernel_shape: [filterHeight, filterWidth], strides: [strideH, strideW], pads, count_include_pad: 0 });
  reading.define(activate(reading, reading.op('Sqrt', [means]), fusedActivationFunction), true);
};

export const conv: ReadTable = {
  CONV_2D: conv2d,
  DEPTHWISE_CONV_2D: depthwiseConv2d,
  TRANSPOSE_CONV: transposeConv,
  AVERAGE_POOL_2D: pool('AveragePool'),
  MAX_POOL_2D: pool('MaxPool'),
  L2_POOL_2D: l2Pool,
};
