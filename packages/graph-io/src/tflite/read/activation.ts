/** Activations that TFLite fuses into the operators before them. */
import type { Value } from '@penjing/core';
import { activation } from '../schema.js';
import { activated, gridOf } from './integer/range.js';
import type { TfliteReading } from './operator.js';

/** By code of ActivationFunctionType. */
const apply: Readonly<Record<number, (reading: TfliteReading, x: Value) => Value>> = {
  [activation.NONE]: (_, x) => x,
  [activation.RELU]: (reading, x) => reading.op('Relu', [x]),
  [activation.RELU_N1_TO_1]: (reading, x) => clip(reading, x, -1, 1),
  [activation.RELU6]: (reading, x) => clip(reading, x, 0, 6),
  [activation.TANH]: (reading, x) => reading.op('Tanh', [x]),
};

export function activate(reading: TfliteReading, x: Value, code = 0): Value {
  const row = apply[code];
  if (!row) throw reading.fail(`its fused activation has the code ${code}, which is not read`);
  return row(reading, x);
}

/**
 * The same at the end of an operator, left out where rounding the result to its codes clips just as much: ONNX Runtime computes a convolution
 * with a Clip behind it on floats, and one without on integers, as XNNPACK does, to the same codes.
 */
export function activateResult(reading: TfliteReading, x: Value, code = 0): Value {
  const grid = gridOf(reading.values, reading.result());
  const left = grid && activated(grid, code);
  return left && left[0] === grid.low && left[1] === grid.high ? x : activate(reading, x, code);
}

export function clip(reading: TfliteReading, x: Value, low: number, high: number): Value {
  const { builder } = reading.values;
  return reading.op('Clip', [x, builder.constant('float32', low), builder.constant('float32', high)]);
}
