/** Complex numbers between operators: pairs of floats along a last axis of their own. */
import type { Value } from '@penjing/core';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

/** The Fourier transform of the last two axes of real numbers, the second half of the last one left out. */
const rfft2d: ReadRow = (reading) => {
  const rank = reading.tensor(0).shape.length;
  const [height, width] = reading.numbers(1, 'lengths');
  const pairs = reading.op('Unsqueeze', [reading.last(0), reading.ints([rank])]);
  const rows = reading.op('DFT', [pairs, reading.ints(width!), reading.ints(rank - 1)], { onesided: 1 });
  reading.define(reading.op('DFT', [rows, reading.ints(height!), reading.ints(rank - 2)]));
};

/** One half of the pairs. */
function part(reading: TfliteReading, at: 0 | 1): Value {
  return reading.op('Gather', [reading.last(0), reading.ints(at)], { axis: -1 });
}

export const complex: ReadTable = {
  RFFT2D: rfft2d,
  REAL: (reading) => reading.define(part(reading, 0)),
  IMAG: (reading) => reading.define(part(reading, 1)),
  COMPLEX_ABS: (reading) => reading.define(reading.op('ReduceL2', [reading.last(0), reading.ints([-1])], { keepdims: 0 })),
};
