/** Pooling. */
import type { Shape } from '@penjing/core';
import { padding } from '../../schema.js';
import type { LowerContext } from '../lower-context.js';
import type { Lowering } from '../lowering.js';
import type { TfTensor } from '../tf-graph.js';
import { formula } from './elementwise.js';
import { reduce } from './reduce.js';
import { asImage, type Axis, axesOf, fromImage, imageShape, isSame, isValid, neededPads, padImage } from './window.js';

const LOWEST = -3.4028234663852886e38;

function windows(c: LowerContext, type: 'MAX_POOL_2D' | 'AVERAGE_POOL_2D', x: TfTensor, [height, width]: readonly [Axis, Axis], code: number): TfTensor {
  if (height.dilation !== 1 || width.dilation !== 1) throw c.fail('its window is dilated', 'Use a window without dilation.');
  return c.emit(type, [x], {
    shape: imageShape(c),
    options: {
      type: 'Pool2DOptions',
      value: { padding: code, strideH: height.stride, strideW: width.stride, filterHeight: height.kernel, filterWidth: width.kernel, fusedActivationFunction: 0 },
    },
  });
}

/** How many elements every window of an axis averages over, by ONNX's rule. */
function counts(axis: Axis, includePads: boolean): number[] {
  return Array.from({ length: axis.out }, (_, i) => {
    const start = i * axis.stride - axis.before;
    const end = start + axis.kernel;
    // Windows that reach behind the pads (ceil_mode) never count what is there.
    const [low, high] = includePads ? [-axis.before, axis.size + axis.after] : [0, axis.size];
    return Math.min(end, high) - Math.max(start, low);
  });
}

const globalPool = (type: 'MEAN' | 'REDUCE_MAX'): Lowering => ({
  layout: 'any',
  lower(c) {
    c.set(reduce(c, type, c.input(0), Array.from({ length: c.rank(0) - 2 }, (_, i) => i + 2), true));
  },
});

export const pool = {
  MaxPool: {
    layout: 'last',
    lower(c) {
      if (c.node.outputs[1]?.name) throw c.fail('its indices are used', 'Only the maxima can be computed.');
      const axes = axesOf(c, c.node.ints('kernel_shape')!);
      const x = asImage(c, c.input(0));
      if (axes.every(isValid)) return c.set(fromImage(c, windows(c, 'MAX_POOL_2D', x, axes, padding.VALID)));
      if (axes.every(isSame)) return c.set(fromImage(c, windows(c, 'MAX_POOL_2D', x, axes, padding.SAME)));
      // The maximum of a window never comes from its pads.
      const wide = padImage(c, x, neededPads(axes[0]), neededPads(axes[1]), x.dtype === 'int8' ? -128 : LOWEST);
      c.set(fromImage(c, windows(c, 'MAX_POOL_2D', wide, axes, padding.VALID)));
    },
    note: 'no dilation, no indices',
  },
  AveragePool: {
    layout: 'last',
    lower(c) {
      const axes = axesOf(c, c.node.ints('kernel_shape')!);
      const [height, width] = axes;
      const x = asImage(c, c.input(0));
      const includePads = c.node.int('count_include_pad', 0) === 1;
      if (axes.every(isValid)) return c.set(fromImage(c, windows(c, 'AVERAGE_POOL_2D', x, axes, padding.VALID)));
      // SAME leaves its pads out of the mean.
      if (axes.every(isSame) && !includePads) return c.set(fromImage(c, windows(c, 'AVERAGE_POOL_2D', x, axes, padding.SAME)));
      const wide = padImage(c, x, neededPads(height), neededPads(width));
      const mean = windows(c, 'AVERAGE_POOL_2D', wide, axes, padding.VALID);
      // Windows over the border divided by too much.
      const [rows, columns] = [counts(height, includePads), counts(width, includePads)];
      const full = height.kernel * width.kernel;
      const factors = rows.flatMap((row) => columns.map((column) => full / (row * column)));
      if (factors.every((factor) => factor === 1)) return c.set(fromImage(c, mean));
      const shape: Shape = [1, height.out, width.out, 1];
      c.set(fromImage(c, formula(c).mul(mean, c.floats(factors, shape))));
    },
    note: 'no dilation',
  },
  GlobalAveragePool: globalPool('MEAN'),
  GlobalMaxPool: globalPool('REDUCE_MAX'),
} satisfies Record<string, Lowering>;
