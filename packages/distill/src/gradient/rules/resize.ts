/** Gradients of changes of size. */
import type { AttributeInput, Value } from '@penjing/core';
import { dimsOf, dtypeOf, rankOf } from '../ops.js';
import type { GradientContext, GradientRule } from '../rule.js';

/**
 * What Resize does along an axis is a product with a matrix, whatever the mode: the one it makes of the identity, (n, m). The gradient is the product with its
 * transpose, axis after axis.
 */
const resize: GradientRule = (c) => [
  () => {
    const { ops, node } = c;
    const x = c.input(0);
    const rank = rankOf(x);
    if (node.string('coordinate_transformation_mode', 'half_pixel') === 'tf_crop_and_resize') throw c.unsupported('Resize of a crop');
    if (node.string('keep_aspect_ratio_policy', 'stretch') !== 'stretch') throw c.unsupported('Resize that keeps an aspect ratio');
    const changed = changedAxes(c, x, rank);
    if (changed.some((axis) => axis < rank - 2)) throw c.unsupported('Resize of other axes than the last two');
    return changed.reduce((gradient, axis) => {
      const matrix = axisMatrix(c, x, axis); // (n, m)
      return axis === rank - 1 ? ops.matmul(gradient, ops.transpose(matrix, [1, 0])) : ops.matmul(matrix, gradient);
    }, c.gradient);
  },
  undefined, undefined, undefined,
];

/** Axes whose size is not known to stay. */
function changedAxes(c: GradientContext, x: Value, rank: number): number[] {
  const given = c.node.ints('axes')?.map((axis) => (axis < 0 ? axis + rank : axis));
  const scales = c.optional(2) && c.ops.knownNumbers(c.input(2));
  const [from, to] = [dimsOf(x), dimsOf(c.output())];
  return [...Array(rank).keys()].filter((axis) => {
    const at = given ? given.indexOf(axis) : axis;
    const same = from?.[axis] !== null && from?.[axis] === to?.[axis];
    return at >= 0 && scales?.[at] !== 1 && !(same && !scales);
  });
}

/** (n, m): the identity of n, resized along its second axis as the operator resizes `axis`. */
function axisMatrix(c: GradientContext, x: Value, axis: number): Value {
  const { ops, node } = c;
  const size = ops.sizes(x, axis, axis + 1);
  const square = ops.op('Concat', [size, size], { axis: 0 });
  const identity = ops.op('EyeLike', [ops.op('Expand', [ops.scalar(0, x), square])]);
  const image = ops.unsqueeze(identity, [0, 1]);
  const rank = rankOf(x);
  const at = node.ints('axes')?.map((each) => (each < 0 ? each + rank : each)).indexOf(axis) ?? axis;
  const attributes: Record<string, AttributeInput> = Object.fromEntries([...node.attributes].filter(([name]) => name !== 'axes'));
  const scales = c.optional(2);
  const bySizes = !scales || dimsOf(scales)?.[0] === 0;
  const one = bySizes ? ops.op('Concat', [ops.ints([1, 1]), size, ops.sizes(c.output(), axis, axis + 1)], { axis: 0 }) : ops.op('Concat', [ops.float32s([1, 1, 1]), ops.op('Slice', [scales, ops.ints([at]), ops.ints([at + 1])])], { axis: 0 });
  const resized = ops.op('Resize', bySizes ? [image, null, null, one] : [image, null, one], attributes);
  const flat = ops.op('Squeeze', [resized, ops.ints([0, 1])]);
  return dtypeOf(flat) === dtypeOf(x) ? flat : ops.op('CastLike', [flat, x]);
}

export const resizeGradients = { Resize: resize } as const satisfies Readonly<Record<string, GradientRule>>;
