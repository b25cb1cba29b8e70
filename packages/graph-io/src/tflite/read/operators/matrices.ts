/** Diagonals, and parts of a tensor put in the place of others. */
import type { Value } from '@penjing/core';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

/** True on the diagonal, (rows, columns). */
function diagonal(reading: TfliteReading, rows: number, columns: number): Value {
  const flags = Array.from({ length: rows * columns }, (_, i) => (Math.floor(i / columns) === i % columns ? 1 : 0));
  return reading.values.builder.constant('bool', flags, [rows, columns]);
}

/** Larger ones are not written into a graph. */
const MAX_SIDE = 1 << 12;

function sides(reading: TfliteReading, result: boolean): readonly [number, number] {
  const { shape, shapeSignature = shape } = result ? reading.resultTensor() : reading.tensor(0);
  const [rows, columns] = shapeSignature.slice(-2);
  if (shape.length < 2 || rows! < 0 || columns! < 0) throw reading.fail('its matrices have no fixed size');
  if (Math.max(rows!, columns!) > MAX_SIDE) throw reading.fail(`its matrices have ${Math.max(rows!, columns!)} rows or columns`);
  return [rows!, columns!];
}

const matrixDiag: ReadRow = (reading) => {
  const { shape } = reading.tensor(0);
  const size = shape.at(-1) ?? 1;
  if (size > MAX_SIDE) throw reading.fail(`its matrices have ${size} rows`);
  const column = reading.op('Unsqueeze', [reading.last(0), reading.ints([-1])]);
  reading.define(reading.op('Where', [diagonal(reading, size, size), column, reading.scalar(0)]));
};

const matrixSetDiag: ReadRow = (reading) => {
  const [rows, columns] = sides(reading, false);
  // the shorter side has as many entries as the diagonal
  const placed = reading.op('Unsqueeze', [reading.last(1), reading.ints([rows <= columns ? -1 : -2])]);
  reading.define(reading.op('Where', [diagonal(reading, rows, columns), placed, reading.last(0)]));
};

/** The update at a computed place, moved inside where it would stick out: padded to the whole, and chosen by a mask padded likewise. */
export function updateSlice(reading: TfliteReading, starts: Value): Value {
  const [x, update] = [reading.last(0), reading.last(1)];
  const { builder } = reading.values;
  const dtype = reading.values.dtype(reading.index(0));
  const room = reading.op('Sub', [reading.op('Shape', [x]), reading.op('Shape', [update])]);
  const before = reading.op('Max', [reading.ints(0), reading.op('Min', [starts, room])]);
  const pads = reading.op('Concat', [before, reading.op('Sub', [room, before])], { axis: 0 });
  const ones = reading.op('Expand', [builder.constant('float32', 1), reading.op('Shape', [update])]);
  const mask = reading.op('Greater', [reading.op('Pad', [ones, pads, builder.constant('float32', 0)]), builder.constant('float32', 0)]);
  return reading.op('Where', [mask, reading.op('Pad', [update, pads, builder.constant(dtype, 0)]), x]);
}

/** `gap` fillings between neighbours along an axis of a fixed size. */
export function dilated(reading: TfliteReading, x: Value, shape: readonly number[], axis: number, gap: number, filling: Value): Value {
  if (gap === 0 || shape[axis]! < 2) return x;
  const size = shape[axis]!;
  const apart = reading.op('Unsqueeze', [x, reading.ints([axis + 1])]);
  const pads = Array.from({ length: 2 * (shape.length + 1) }, (_, i) => (i === shape.length + 1 + axis + 1 ? gap : 0));
  const padded = reading.op('Pad', [apart, reading.ints(pads), filling]);
  const joined = reading.op('Reshape', [padded, reading.ints([...shape.slice(0, axis), size * (gap + 1), ...shape.slice(axis + 1)])]);
  return reading.op('Slice', [joined, reading.ints([0]), reading.ints([size * (gap + 1) - gap]), reading.ints([axis])]);
}

const dilate: ReadRow = (reading) => {
  const factors = reading.numbers(1, 'dilations');
  const sizes = [...reading.tensor(0).shape];
  const filling = reading.op('Reshape', [reading.last(2), reading.ints([])]);
  let x = reading.last(0);
  factors.forEach((factor, axis) => {
    x = dilated(reading, x, sizes, axis, factor - 1, filling);
    sizes[axis] = (sizes[axis]! - 1) * factor + 1;
  });
  reading.define(x);
};

export const matrices: ReadTable = {
  MATRIX_DIAG: matrixDiag,
  MATRIX_SET_DIAG: matrixSetDiag,
  DYNAMIC_UPDATE_SLICE: (reading) => reading.define(updateSlice(reading, reading.int64(2))),
  DILATE: dilate,
};
