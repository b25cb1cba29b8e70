/** Shape rules of operators that reduce, rank or scan along axes. */
import type { OpName } from '../ops/lookup.js';
import type { Dim } from '../shape.js';
import { multiplyDims, addDims } from './dims.js';
import { axisIn, type Dims, type InferContext, type InferRule, likeInput, tensor, unknown, withDim } from './rule.js';

/** Axes of a reduction: an attribute in old opsets, an input in new ones; undefined when they are computed. */
export function reductionAxes(c: InferContext): readonly number[] | undefined | 'all' {
  const attribute = c.node.ints('axes');
  const axes = attribute ?? (c.has(1) ? c.numbers(1) : []);
  if (axes?.length !== 0) return axes;
  return c.node.int('noop_with_empty_axes', 0) === 1 ? [] : 'all';
}

export const reduce = (fold?: (x: Dim, y: Dim) => Dim): InferRule => (c) => {
  const shape = c.shape(0);
  const dtype = c.dtype(0);
  const axes = reductionAxes(c);
  const keep = c.node.int('keepdims', 1) === 1;
  if (!shape) return [tensor(dtype, axes === 'all' && !keep ? [] : undefined)];
  if (axes === undefined) {
    const count = c.shape(1)?.[0];
    if (keep) return [tensor(dtype, unknown(shape.length))];
    return [tensor(dtype, typeof count === 'number' ? unknown(shape.length - count) : undefined)];
  }
  const gone = new Set(axes === 'all' ? shape.keys() : axes.map((axis) => axisIn(axis, shape.length)));
  if (gone.has(undefined)) c.gap(`an axis is outside rank ${shape.length}`);
  const out = keep ? shape.map((dim, i) => (gone.has(i) ? 1 : dim)) : shape.filter((_, i) => !gone.has(i));
  const values = c.values(0);
  const total = fold && values && values.length > 0 && shape.length === 1 && gone.has(0) ? [values.reduce(fold)] : undefined;
  return [tensor(dtype, out, total)];
};

const numeric = (pick: (x: number, y: number) => number) => reduce((x, y) =>
  (typeof x === 'number' && typeof y === 'number' ? pick(x, y) : null));

const arg: InferRule = (c) => {
  const shape = c.shape(0);
  if (!shape) return [tensor('int64')];
  const axis = axisIn(c.node.int('axis', 0), shape.length);
  const keep = c.node.int('keepdims', 1) === 1;
  return [tensor('int64', keep ? shape.map((dim, i) => (i === axis ? 1 : dim)) : shape.filter((_, i) => i !== axis))];
};

/** Losses are scalars unless nothing is reduced: then they have the shape of the labels. */
const loss: InferRule = (c) => {
  const labels: Dims | undefined = c.shape(1);
  const shape = c.node.string('reduction', 'mean') === 'none' ? labels : [];
  return [tensor(c.dtype(0), shape), { type: c.type(0) }];
};

export const reduceRules = {
  ReduceL1: reduce(), ReduceL2: reduce(), ReduceLogSum: reduce(), ReduceLogSumExp: reduce(), ReduceMean: reduce(),
  ReduceSumSquare: reduce(), ReduceMax: numeric(Math.max), ReduceMin: numeric(Math.min),
  ReduceProd: reduce(multiplyDims), ReduceSum: reduce(addDims),
  ArgMax: arg, ArgMin: arg,
  CumSum: likeInput, CumProd: likeInput, Softmax: likeInput, LogSoftmax: likeInput, Hardmax: likeInput,
  NegativeLogLikelihoodLoss: loss, SoftmaxCrossEntropyLoss: loss,
  TopK(c) {
    const shape = c.shape(0);
    const axis = shape && axisIn(c.node.int('axis', -1), shape.length);
    const k = c.values(1)?.[0] ?? null;
    const out = shape && (axis === undefined ? unknown(shape.length) : withDim(shape, axis, k));
    return [tensor(c.dtype(0), out), tensor('int64', out)];
  },
} satisfies Partial<Record<OpName, InferRule>>;
