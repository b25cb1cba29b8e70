/** Operators on the bits of integers. */
import { dtypes, type Value } from '@penjing/core';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

const cast = (reading: TfliteReading, x: Value, to: keyof typeof dtypes): Value => reading.op('Cast', [x], { to: dtypes[to].onnx });

/** BitShift of ONNX is for unsigned integers: signed ones are divided, rounding down; float64 has 53 bits for their 32. */
const rightShift: ReadRow = (reading) => {
  const { dtype } = reading.tensor(0);
  const { kind, bits } = dtypes[dtype];
  if (kind === 'uint') return reading.define(reading.op('BitShift', [reading.last(0), reading.last(1)], { direction: 'RIGHT' }));
  if (bits > 32) throw reading.fail(`its operands are ${dtype}`);
  const power = reading.op('Pow', [reading.values.builder.constant('float64', 2), cast(reading, reading.last(1), 'float64')]);
  reading.define(cast(reading, reading.op('Floor', [reading.op('Div', [cast(reading, reading.last(0), 'float64'), power])]), dtype));
};

const leftShift: ReadRow = (reading) => {
  const { dtype } = reading.tensor(0);
  if (dtypes[dtype].bits > 32) throw reading.fail(`its operands are ${dtype}`);
  const shifted = reading.op('BitShift', [cast(reading, reading.last(0), 'uint32'), cast(reading, reading.last(1), 'uint32')], { direction: 'LEFT' });
  reading.define(cast(reading, shifted, dtype));
};

export const bits: ReadTable = {
  BITWISE_XOR: (reading) => reading.define(reading.op(reading.tensor(0).dtype === 'bool' ? 'Xor' : 'BitwiseXor', [reading.last(0), reading.last(1)])),
  RIGHT_SHIFT: rightShift,
  STABLEHLO_SHIFT_LEFT: leftShift,
};
