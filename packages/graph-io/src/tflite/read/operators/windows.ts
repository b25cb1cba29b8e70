/** Where the windows of a convolution or a pool lie: attributes of ONNX, and how the weights are turned. */
import { lazy, type Tensor } from '@penjing/core';
import { padding } from '../../schema.js';
import type { TfliteReading } from '../operator.js';

export interface Windows {
  /** (height, width) each. */
  readonly kernel: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations?: readonly [number, number];
}

/** Pads of ONNX: all that TensorFlow's SAME adds, the odd element at the end. Sizes are those of the declared shape. */
export function padsOf(reading: TfliteReading, code: number, { kernel, strides, dilations = [1, 1] }: Windows): number[] {
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

/** Rank 4 operands, as the schema wants them. */
export function sizes(reading: TfliteReading, i: number): readonly [number, number, number, number] {
  const { shape, name } = reading.tensor(i);
  if (shape.length !== 4) throw reading.fail(`${name} has ${shape.length} dimensions, not 4`);
  return shape as unknown as readonly [number, number, number, number];
}

/** A convolution as ONNX has it. */
export interface Convolution {
  readonly opType: 'Conv' | 'ConvTranspose';
  readonly attributes: Readonly<Record<string, number | readonly number[]>>;
  /** Operands. */
  readonly x: number;
  readonly weight: number;
  readonly bias: number;
  /** The weights as ONNX has them, and the axis of the outputs in them then. */
  readonly move: (tensor: Tensor) => Tensor;
  readonly axis: number;
  readonly outputs: number;
  /** Products that are summed for one output, at most. */
  readonly terms: number;
  readonly activation: number;
}

export function conv2d(reading: TfliteReading): Convolution {
  const { padding: pad, strideH, strideW, dilationHFactor, dilationWFactor, fusedActivationFunction } = reading.options('Conv2DOptions');
  // weights are (outputs, height, width, inputs / groups)
  const [outputs, height, width, inputs] = sizes(reading, 1);
  const group = sizes(reading, 0)[3] / inputs;
  if (!Number.isInteger(group) || group < 1 || outputs % group !== 0) throw reading.fail(`${inputs} input channels of its weights do not divide those of its input`);
  const windows: Windows = { kernel: [height, width], strides: [strideH, strideW], dilations: [dilationHFactor, dilationWFactor] };
  return {
    opType: 'Conv', x: 0, weight: 1, bias: 2, axis: 0, outputs, terms: height * width * inputs, activation: fusedActivationFunction,
    move: (tensor) => lazy.transpose(tensor, [0, 3, 1, 2]),
    attributes: { kernel_shape: [height, width], strides: [strideH, strideW], dilations: [dilationHFactor, dilationWFactor], pads: padsOf(reading, pad, windows), group },
  };
}

export function depthwiseConv2d(reading: TfliteReading): Convolution {
  const { padding: pad, strideH, strideW, dilationHFactor, dilationWFactor, fusedActivationFunction } = reading.options('DepthwiseConv2DOptions');
  // weights are (1, height, width, outputs); output c reads input c / multiplier, as groups of ONNX do
  const [, height, width, outputs] = sizes(reading, 1);
  const group = sizes(reading, 0)[3];
  const windows: Windows = { kernel: [height, width], strides: [strideH, strideW], dilations: [dilationHFactor, dilationWFactor] };
  return {
    opType: 'Conv', x: 0, weight: 1, bias: 2, axis: 0, outputs, terms: height * width, activation: fusedActivationFunction,
    move: (tensor) => lazy.transpose(tensor, [3, 0, 1, 2]),
    attributes: { kernel_shape: [height, width], strides: [strideH, strideW], dilations: [dilationHFactor, dilationWFactor], pads: padsOf(reading, pad, windows), group },
  };
}

export function transposeConv(reading: TfliteReading): Convolution {
  const { padding: pad, strideH, strideW, fusedActivationFunction } = reading.options('TransposeConvOptions');
  const [outputs, height, width, inputs] = sizes(reading, 1);
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
  return {
    opType: 'ConvTranspose', x: 2, weight: 1, bias: 3, axis: 1, outputs, terms: height * width * inputs, activation: fusedActivationFunction,
    // weights are (outputs, height, width, inputs)
    move: (tensor) => lazy.transpose(tensor, [3, 0, 1, 2]),
    attributes: { kernel_shape: kernel, strides, pads, output_padding: extra },
  };
}
