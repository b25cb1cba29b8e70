/** Convolutions over (depth, height, width). */
import { lazy, type Value } from '@penjing/core';
import { padding } from '../../schema.js';
import { activate } from '../activation.js';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

const TO_FIRST = [0, 4, 1, 2, 3];
const TO_LAST = [0, 2, 3, 4, 1];

/** Weights, constant or computed, as ONNX wants them: (outputs, inputs, …), for the transposed one (inputs, outputs, …). */
function kernelOf(reading: TfliteReading): Value {
  const perm = [4, 3, 0, 1, 2];
  const { values } = reading;
  return values.isConstant(reading.index(1)) ? values.weight(reading.index(1), (tensor) => lazy.transpose(tensor, perm)) : reading.op('Transpose', [reading.last(1)], { perm });
}

const bias = (reading: TfliteReading, i: number): Value | undefined => (reading.has(i) ? reading.values.weight(reading.index(i)) : undefined);

function shapeOf(reading: TfliteReading, i: number): readonly [number, number, number, number, number] {
  const { shape, name } = reading.tensor(i);
  if (shape.length !== 5) throw reading.fail(`${name} has ${shape.length} dimensions, not 5`);
  return shape as unknown as readonly [number, number, number, number, number];
}

const conv3d: ReadRow = (reading) => {
  const options = reading.options('Conv3DOptions');
  const strides = [options.strideD, options.strideH, options.strideW];
  const dilations = [options.dilationDFactor, options.dilationHFactor, options.dilationWFactor];
  const [depth, height, width, inputs] = shapeOf(reading, 1);
  const kernel = [depth, height, width];
  const sizes = shapeOf(reading, 0);
  const totals = kernel.map((size, i) => {
    const reach = (size - 1) * dilations[i]! + 1;
    return options.padding === padding.VALID ? 0 : Math.max(0, (Math.ceil(sizes[i + 1]! / strides[i]!) - 1) * strides[i]! + reach - sizes[i + 1]!);
  });
  const begins = totals.map((total) => Math.floor(total / 2));
  const group = sizes[4] / inputs;
  if (!Number.isInteger(group) || group < 1) throw reading.fail(`${inputs} input channels of its weights do not divide those of its input`);
  // weights are (depth, height, width, inputs, outputs)
  const weight = kernelOf(reading);
  const x = reading.op('Transpose', [reading.last(0)], { perm: TO_FIRST });
  const pads = [...begins, ...totals.map((total, i) => total - begins[i]!)];
  const y = reading.op('Conv', [x, weight, bias(reading, 2)], { kernel_shape: kernel, strides, dilations, pads, group });
  reading.define(reading.op('Transpose', [activate(reading, y, options.fusedActivationFunction)], { perm: TO_LAST }));
};

const conv3dTranspose: ReadRow = (reading) => {
  const options = reading.options('Conv3DOptions');
  const strides = [options.strideD, options.strideH, options.strideW];
  const [depth, height, width] = shapeOf(reading, 1);
  const kernel = [depth, height, width];
  const [sizes, result] = [shapeOf(reading, 2), reading.resultTensor().shape];
  const totals = kernel.map((size, i) => Math.max(0, (sizes[i + 1]! - 1) * strides[i]! + size - result[i + 1]!));
  const begins = totals.map((total) => Math.floor(total / 2));
  const extra = kernel.map((size, i) => Math.max(0, result[i + 1]! - ((sizes[i + 1]! - 1) * strides[i]! + size)));
  // weights are (depth, height, width, outputs, inputs)
  const weight = kernelOf(reading);
  const x = reading.op('Transpose', [reading.last(2)], { perm: TO_FIRST });
  const pads = [...begins, ...totals.map((total, i) => total - begins[i]!)];
  const y = reading.op('ConvTranspose', [x, weight, bias(reading, 3)], { kernel_shape: kernel, strides, pads, output_padding: extra });
  reading.define(reading.op('Transpose', [activate(reading, y, options.fusedActivationFunction)], { perm: TO_LAST }));
};

export const volumes: ReadTable = { CONV_3D: conv3d, CONV_3D_TRANSPOSE: conv3dTranspose };
