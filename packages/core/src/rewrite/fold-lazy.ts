/** Folds what moves or scales large weights into their expressions: nothing is read until the model is saved. */
import { dtypes } from '../dtype.js';
import type { Node } from '../graph/node.js';
import { lazy } from '../lazy-ops.js';
import type { OpName } from '../ops/lookup.js';
import { sliceBounds } from '../ops/slice-bounds.js';
import type { Tensor } from '../tensor.js';
import { scalarOf } from './constant-of.js';
import type { Rewriter } from './rewriter.js';

/** The tensor of output `index`, for an input that is a weight; undefined where the expression language has no words for it. */
type LazyFold = (node: Node, inputs: readonly (Tensor | undefined)[], index: number, c: Rewriter) => Tensor | undefined;

const reshaped: LazyFold = (node, [x], index, c) => {
  const shape = c.fixedShape(node.outputs[index]);
  return x && shape && lazy.reshape(x, shape);
};

/** Float32 arithmetic only: that of other types would round differently. */
const arithmetic = (make: (a: Tensor, b: Tensor) => Tensor): LazyFold => (_, [a, b]) =>
  (a?.dtype === 'float32' && b?.dtype === 'float32' ? make(a, b) : undefined);

const folds: { readonly [Op in OpName]?: LazyFold } = {
  Identity: (_, [x]) => x,
  Reshape: reshaped, Flatten: reshaped, Squeeze: reshaped, Unsqueeze: reshaped,
  Transpose: (node, [x]) => x && lazy.transpose(x, node.ints('perm') ?? x.shape.map((_, i) => x.shape.length - 1 - i)),
  Cast: (node, [x], index, c) => {
    const to = c.dtype(node.outputs[index]);
    const floats = x && to && [x.dtype, to].every((dtype) => dtypes[dtype].kind === 'float' && dtypes[dtype].bits >= 16 && dtypes[dtype].bits <= 32);
    return floats ? lazy.cast(x, to) : undefined;
  },
  Concat: (node, inputs, index, c) => {
    const rank = c.shape(node.outputs[index])?.length ?? 0;
    const axis = node.int('axis', 0);
    return inputs.every((x) => x !== undefined) && rank > 0 ? lazy.concat(inputs, axis < 0 ? axis + rank : axis) : undefined;
  },
  Slice(node, [x], index, c) {
    const shape = c.fixedShape(node.outputs[index]);
    const starts = node.ints('starts') ?? c.numbers(node.input(1));
    const axes = node.ints('axes') ?? (node.input(3) ? c.numbers(node.input(3)) : starts?.map((_, i) => i));
    const steps = node.input(4) ? c.numbers(node.input(4)) : [];
    if (!x || !shape || !starts || !axes || !steps?.every((step) => step === 1)) return undefined;
    const from = x.shape.map(() => 0);
    axes.forEach((axis, i) => {
      const at = axis < 0 ? axis + x.shape.length : axis;
      from[at] = sliceBounds(x.shape[at]!, starts[i]!, Number.MAX_SAFE_INTEGER, 1)[0];
    });
    return lazy.slice(x, from, shape);
  },
  Split(node, [x], index, c) {
    const shape = c.fixedShape(node.outputs[index]);
    if (!x || !shape) return undefined;
    const axis = (node.int('axis', 0) + x.shape.length) % x.shape.length;
    let at = 0;
    for (const value of node.outputs.slice(0, index)) at += c.fixedShape(value)?.[axis] ?? NaN;
    return Number.isNaN(at) ? undefined : lazy.slice(x, x.shape.map((_, i) => (i === axis ? at : 0)), shape);
  },
  Gather(node, [x, indices], index, c) {
    const shape = c.fixedShape(node.outputs[index]);
    const list = c.numbers(node.input(1));
    const axis = node.int('axis', 0);
    if (!x || !shape || indices?.shape.length !== 1 || !list?.every((i) => i >= 0)) return undefined;
    return lazy.gather(x, indices, axis < 0 ? axis + x.shape.length : axis);
  },
  ConstantOfShape(node, _, index, c) {
    const shape = c.fixedShape(node.outputs[index]);
    const stored = node.tensor('value');
    const value = stored ? scalarOf(stored) : 0;
    const dtype = stored?.dtype ?? 'float32';
    return shape && value !== undefined && (dtype === 'float32' || dtype === 'float16') ? lazy.fill(dtype, shape, value) : undefined;
  },
  Mul: arithmetic((a, b) => lazy.multiply(a, b)),
  Add: arithmetic((a, b) => lazy.add(a, b)),
};

export function canFoldLazily(node: Node): boolean {
  return node.domain === '' && Object.hasOwn(folds, node.opType);
}

/** The output of a node over weights, as an expression. `tensorOf` gives its inputs. */
export function foldLazily(node: Node, index: number, c: Rewriter, tensorOf: (index: number) => Tensor | undefined): Tensor | undefined {
  const inputs = node.inputs.map((_, i) => tensorOf(i));
  return folds[node.opType as OpName]?.(node, inputs, index, c);
}
