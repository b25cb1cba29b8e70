/** Bilinear resizing of 8 bits: weights of 10 bits along each axis, as two products of matrices. */
import { dtypes, type Value } from '@penjing/core';
import { toDouble } from './fixed-point.js';
import { type ExactRow, gridOf, sameGrid } from './range.js';

const ONE = 1 << 10;

/** Weights (size, wanted) of one axis, in 1024ths. */
function weights(size: number, wanted: number, alignCorners: boolean, halfPixelCenters: boolean): number[] {
  const [from, to] = alignCorners && wanted > 1 ? [size - 1, wanted - 1] : [size, wanted];
  const scale = Math.floor((ONE * from + Math.floor(to / 2)) / to);
  const matrix = new Array<number>(size * wanted).fill(0);
  for (let at = 0; at < wanted; at++) {
    const place = halfPixelCenters ? at * scale + Math.floor(scale / 2) - ONE / 2 : at * scale;
    const low = Math.max(Math.trunc(place / ONE), 0);
    const high = Math.min(Math.trunc((place + ONE - 1) / ONE), size - 1);
    matrix[low * wanted + at]! += ONE - (place - ONE * low);
    matrix[high * wanted + at]! += place - ONE * low;
  }
  return matrix;
}

/** Larger matrices than this are not written into a graph. */
const MAX_WEIGHTS = 1 << 20;

export const exactResize: ExactRow = (reading) => {
  const { values } = reading;
  const { builder } = values;
  const [input, output] = [gridOf(values, reading.index(0)), gridOf(values, reading.result())];
  const { shape, shapeSignature = shape } = reading.tensor(0);
  const wanted = values.numbers(reading.index(1));
  // those of uint8 are interpolated in another way
  if (!input || !output || reading.tensor(0).dtype !== 'int8' || !sameGrid(input, output) || wanted?.length !== 2 || shape.length !== 4 || shapeSignature[1]! < 0 || shapeSignature[2]! < 0) return false;
  const [[, height, width], [toHeight, toWidth]] = [shape, wanted] as unknown as [[number, number, number], [number, number]];
  if (Math.max(height * toHeight, width * toWidth) > MAX_WEIGHTS || Math.min(toHeight, toWidth) < 1) return false;
  const { alignCorners = false, halfPixelCenters = false } = reading.optional('ResizeBilinearOptions');
  const number = (value: number): Value => builder.constant('float64', value);
  const codes = values.codes(reading.index(0), 'first');
  // zero points stay in: they decide which way half is rounded
  const raw = reading.op('Add', [toDouble(reading, codes), number(input.zeroPoint)]);
  const across = builder.constant('float64', weights(width, toWidth, alignCorners, halfPixelCenters), [width, toWidth]);
  const down = reading.op('Transpose', [builder.constant('float64', weights(height, toHeight, alignCorners, halfPixelCenters), [height, toHeight])], { perm: [1, 0] });
  const sums = reading.op('MatMul', [down, reading.op('MatMul', [raw, across])]);
  const whole = reading.op('Floor', [reading.op('Add', [reading.op('Mul', [reading.op('Abs', [sums]), number(2 ** -20)]), number(0.5)])]);
  const centred = reading.op('Sub', [reading.op('Mul', [reading.op('Sign', [sums]), whole]), number(input.zeroPoint)]);
  values.defineCodes(reading.result(), reading.op('Cast', [centred], { to: dtypes.float32.onnx }), 'first');
  return true;
};
