/** Slices with constant bounds, and with computed ones. */
import type { Value } from '@penjing/core';
import type { ReadRow, TfliteReading } from '../operator.js';
import { permuted } from '../places.js';

/** An end beyond any axis. */
export const END = 2 ** 31 - 1;

export const slice: ReadRow = (reading) => {
  const { values } = reading;
  if (!values.numbers(reading.index(1)) || !values.numbers(reading.index(2))) {
    const [begins, lengths] = [reading.int64(1), reading.int64(2)];
    const open = reading.op('Less', [lengths, reading.ints(0)]);
    const ends = reading.op('Where', [open, reading.ints(END), reading.op('Add', [begins, lengths])]);
    return reading.define(reading.op('Slice', [reading.last(0), begins, ends]));
  }
  const begins = reading.numbers(1, 'begin');
  const sizes = reading.numbers(2, 'size');
  const { x, first } = reading.follow();
  const place = <T>(list: readonly T[]): readonly T[] => (first ? permuted(list) : list);
  const ends = sizes.map((size, axis) => (size < 0 ? END : begins[axis]! + size));
  reading.define(reading.op('Slice', [x, reading.ints([...place(begins)]), reading.ints([...place(ends)])]), first);
};

export const stridedSlice: ReadRow = (reading) => {
  if ([1, 2, 3].some((i) => !reading.values.numbers(reading.index(i)))) return computedSlice(reading);
  const { beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask, offset } = reading.options('StridedSliceOptions');
  const [begins, ends, strides] = [reading.numbers(1, 'begin'), reading.numbers(2, 'end'), reading.numbers(3, 'strides')];
  const { shape } = reading.tensor(0);
  const bit = (mask: number, i: number): boolean => (mask & (1 << i)) !== 0;
  const added = begins.filter((_, i) => bit(newAxisMask, i) && !bit(ellipsisMask, i)).length;
  const taken: { axis: number; begin: number; end: number; stride: number }[] = [];
  const shrunk: number[] = [];
  const inserted: number[] = [];
  // `axis` runs over the input, `place` over the result before axes are dropped from it
  let axis = 0;
  let place = 0;
  begins.forEach((begin, i) => {
    if (bit(ellipsisMask, i)) {
      const skipped = shape.length - (begins.length - 1 - added);
      axis += skipped;
      place += skipped;
    } else if (bit(newAxisMask, i)) {
      inserted.push(place++);
    } else {
      const stride = strides[i]!;
      const shrink = bit(shrinkAxisMask, i);
      const from = bit(beginMask, i) ? (stride > 0 ? 0 : END) : begin;
      const stop = offset ? begin + ends[i]! : ends[i]!;
      // one element: -1 + 1 would be the start again
      const end = shrink ? (begin === -1 ? END : begin + 1) : bit(endMask, i) ? (stride > 0 ? END : -END) : stop;
      taken.push({ axis: axis++, begin: from, end, stride: shrink ? 1 : stride });
      if (shrink) shrunk.push(place);
      place++;
    }
  });
  let y = reading.last(0);
  const list = (key: 'axis' | 'begin' | 'end' | 'stride'): Value => reading.ints(taken.map((item) => item[key]));
  if (taken.length > 0) y = reading.op('Slice', [y, list('begin'), list('end'), list('axis'), list('stride')]);
  if (inserted.length > 0) y = reading.op('Unsqueeze', [y, reading.ints(inserted)]);
  reading.define(shrunk.length > 0 ? reading.op('Squeeze', [y, reading.ints(shrunk)]) : y);
};

/** Bounds that are computed, one for each of the first axes. */
function computedSlice(reading: TfliteReading): void {
  const { beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask, offset } = reading.options('StridedSliceOptions');
  if (ellipsisMask !== 0 || newAxisMask !== 0) throw reading.fail('its bounds are computed, and it skips or adds axes');
  const count = reading.tensor(1).shape[0] ?? 0;
  const [begins, strides] = [reading.int64(1), reading.int64(3)];
  const flags = (mask: number): Value => reading.values.builder.constant('bool', Array.from({ length: count }, (_, i) => (mask >> i) & 1));
  const backwards = reading.op('Less', [strides, reading.ints(0)]);
  const edge = (ahead: number, back: number): Value => reading.op('Where', [backwards, reading.ints(back), reading.ints(ahead)]);
  const from = beginMask === 0 ? begins : reading.op('Where', [flags(beginMask), edge(0, END), begins]);
  const given = offset ? reading.op('Add', [begins, reading.int64(2)]) : reading.int64(2);
  const open = endMask === 0 ? given : reading.op('Where', [flags(endMask), edge(END, -END), given]);
  // one element: -1 + 1 would be the start again
  const next = reading.op('Where', [reading.op('Equal', [begins, reading.ints(-1)]), reading.ints(END), reading.op('Add', [begins, reading.ints(1)])]);
  const to = shrinkAxisMask === 0 ? open : reading.op('Where', [flags(shrinkAxisMask), next, open]);
  const axes = Array.from({ length: count }, (_, i) => i);
  const taken = reading.op('Slice', [reading.last(0), from, to, reading.ints(axes), strides]);
  const shrunk = axes.filter((i) => (shrinkAxisMask >> i) & 1);
  reading.define(shrunk.length > 0 ? reading.op('Squeeze', [taken, reading.ints(shrunk)]) : taken);
}
