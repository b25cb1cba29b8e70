/**
 * Weights of 8 bits beside float activations ("dynamic range"): TensorFlow Lite rounds the activations to 8 bits as well, one scale
 * for every sample (convolutions) or row (fully connected layers), multiplies integers, and scales the sums.
 */
import { dtypes, lazy, type Tensor, type Value } from '@penjing/core';
import { activate } from '../activation.js';
import type { TfliteReading } from '../operator.js';
import type { Convolution } from '../operators/windows.js';

/** A range of zero makes every code zero; its scale must be finite all the same. */
const SMALLEST_RANGE = 1e-35;

export interface Rounded {
  /** Integers as float32, zero points taken off. */
  readonly codes: Value;
  /** One per slice; the reduced axes have the size 1. */
  readonly scale: Value;
}

/** True when operand `x` is float, `weight` holds integers that stand for floats, and the caller has not asked for float arithmetic. */
export function isHybrid(reading: TfliteReading, x: number, weight: number): boolean {
  const { values } = reading;
  if (values.arithmetic === 'float' || reading.tensor(x).dtype !== 'float32') return false;
  const { dtype } = reading.tensor(weight);
  const scales = values.scales(reading.index(weight));
  return (dtype === 'int8' || dtype === 'int4' || dtype === 'int2') && scales !== undefined && values.isConstant(reading.index(weight)) && scales.zeroPoints.every((zero) => zero === 0);
}

/** Scales of `range / 127`, no zero point. */
export function roundSymmetric(reading: TfliteReading, x: Value, axes: readonly number[]): Rounded {
  const number = (value: number): Value => reading.values.builder.constant('float32', value);
  const largest = reading.op('ReduceMax', [reading.op('Abs', [x]), reading.ints([...axes])], { keepdims: 1 });
  const range = reading.op('Max', [largest, number(SMALLEST_RANGE)]);
  const scaled = reading.op('Mul', [x, reading.op('Div', [number(127), range])]);
  const codes = reading.op('Clip', [reading.op('Round', [scaled]), number(-127), number(127)]);
  return { codes, scale: reading.op('Div', [range, number(127)]) };
}

/** Scales of `(max - min) / 255` and a zero point, worked out in float64 as TensorFlow Lite does. */
export function roundAsymmetric(reading: TfliteReading, x: Value, axes: readonly number[]): Rounded {
  const number = (value: number): Value => reading.values.builder.constant('float64', value);
  const single = (value: number): Value => reading.values.builder.constant('float32', value);
  const to = (value: Value, dtype: 'float32' | 'float64'): Value => reading.op('Cast', [value], { to: dtypes[dtype].onnx });
  const low = to(reading.op('Min', [reading.op('ReduceMin', [x, reading.ints([...axes])], { keepdims: 1 }), single(0)]), 'float64');
  const high = to(reading.op('Max', [reading.op('ReduceMax', [x, reading.ints([...axes])], { keepdims: 1 }), single(0)]), 'float64');
  const wide = reading.op('Div', [reading.op('Max', [reading.op('Sub', [high, low]), number(SMALLEST_RANGE)]), number(255)]);
  const steps = (value: Value): Value => reading.op('Div', [value, wide]);
  // the end whose error is smaller decides
  const fromLow = reading.op('Sub', [number(-128), steps(low)]);
  const fromHigh = reading.op('Sub', [number(127), steps(high)]);
  const lowIsNearer = reading.op('Less', [reading.op('Sub', [number(128), steps(low)]), reading.op('Add', [number(127), steps(high)])]);
  const zero = reading.op('Clip', [reading.op('Where', [lowIsNearer, fromLow, fromHigh]), number(-128), number(127)]);
  // half away from zero
  const whole = reading.op('Mul', [reading.op('Sign', [zero]), reading.op('Floor', [reading.op('Add', [reading.op('Abs', [zero]), number(0.5)])])]);
  const offset = to(whole, 'float32');
  const scale = to(wide, 'float32');
  const scaled = reading.op('Add', [reading.op('Mul', [x, reading.op('Div', [single(1), scale])]), offset]);
  const codes = reading.op('Sub', [reading.op('Clip', [reading.op('Round', [scaled]), single(-128), single(127)]), offset]);
  return { codes, scale };
}

/** Convolves codes with codes when this is a convolution of two kinds; false when it is not. */
export function hybridConv(reading: TfliteReading, { opType, attributes, x, weight, bias, move, activation }: Convolution): boolean {
  if (!isHybrid(reading, x, weight)) return false;
  const { values } = reading;
  const { scales } = values.scales(reading.index(weight))!;
  const symmetric = reading.type === 'CONV_2D' && attributes['group'] === 1 && scales.every((scale) => scale === scales[0]);
  const { codes, scale } = (symmetric ? roundSymmetric : roundAsymmetric)(reading, reading.first(x), [1, 2, 3]);
  const sums = reading.op(opType, [codes, values.weightCodes(reading.index(weight), move)], attributes);
  const weights = values.builder.constant('float32', symmetric ? [scales[0]!] : [...scales], symmetric ? [] : [1, scales.length, 1, 1]);
  const product = symmetric ? reading.op('Mul', [sums, reading.op('Mul', [scale, weights])]) : reading.op('Mul', [reading.op('Mul', [sums, weights]), scale]);
  const y = reading.has(bias) ? reading.op('Add', [product, values.weight(reading.index(bias), (tensor) => perChannel(tensor))]) : product;
  reading.define(activate(reading, y, activation), true);
  return true;
}

/** A vector that broadcasts along the second of four axes. */
function perChannel(tensor: Tensor): Tensor {
  return lazy.reshape(tensor, [1, tensor.shape[0] ?? 1, 1, 1]);
}

/** Weights (outputs, inputs) of an operand, turned, and their scales. */
export interface HybridWeight {
  readonly codes: Value;
  readonly scales: Value;
}

export function hybridWeight(reading: TfliteReading, weight: number): HybridWeight {
  const { values } = reading;
  const { scales } = values.scales(reading.index(weight))!;
  return {
    codes: values.weightCodes(reading.index(weight), (tensor) => lazy.transpose(tensor, [1, 0])),
    scales: values.builder.constant('float32', [...scales], scales.length === 1 ? [] : [scales.length]),
  };
}

/** The product of the rows of `x` (rows, inputs) and such weights, scaled. */
export function hybridProductOf(reading: TfliteReading, x: Value, { codes: weight, scales }: HybridWeight, asymmetric: boolean): Value {
  const { codes, scale } = (asymmetric ? roundAsymmetric : roundSymmetric)(reading, x, [-1]);
  return reading.op('Mul', [reading.op('MatMul', [codes, weight]), reading.op('Mul', [scale, scales])]);
}

export function hybridProduct(reading: TfliteReading, x: Value, weight: number, asymmetric: boolean): Value {
  return hybridProductOf(reading, x, hybridWeight(reading, weight), asymmetric);
}
