/** Gradients of reductions, softmax and the losses of classification. */
import { dtypes, type Node, type Value } from '@penjing/core';
import { axesOf, dimsOf, dtypeOf, rankOf } from '../ops.js';
import type { GradientContext, GradientRule } from '../rule.js';

/** The reduced axes, in [0, rank); all of them when none are given. */
function reducedAxes(c: GradientContext): readonly number[] {
  const rank = rankOf(c.input(0));
  const given = c.optional(1) ? c.ints(1) : c.node.ints('axes');
  if (given?.length) return given.map((axis) => (axis < 0 ? axis + rank : axis));
  return c.node.int('noop_with_empty_axes', 0) === 1 ? [] : axesOf(c.input(0));
}

/** A reduced value, with the reduced axes as ones again. */
const kept = (c: GradientContext, value: Value): Value => (c.node.int('keepdims', 1) === 1 ? value : c.ops.unsqueeze(value, [...reducedAxes(c)].sort((a, b) => a - b)));

/** g · f(x, y) with g and y broadcast over what was reduced. */
const reduction = (local: (c: GradientContext, x: Value, y: Value) => Value | undefined): GradientRule => (c) => [
  () => {
    const x = c.input(0);
    const gradient = kept(c, c.gradient);
    const factor = local(c, x, kept(c, c.output()));
    return c.ops.expandLike(factor ? c.ops.mul(gradient, factor) : gradient, x);
  },
  undefined,
];

/** Several elements may be the largest: they share. */
const extreme = reduction((c, x, y) => {
  const equal = c.ops.op('CastLike', [c.ops.op('Equal', [x, y]), x]);
  return c.ops.div(equal, c.ops.sum(equal, reducedAxes(c)));
});

const axisOf = (c: GradientContext): number => {
  const axis = c.node.int('axis', -1);
  return axis < 0 ? axis + rankOf(c.input(0)) : axis;
};

/** 1 where the class of an element is its label, on axis `axis` of `like`. */
function oneHot(c: GradientContext, labels: Value, like: Value, axis: number): Value {
  const classes = c.ops.op('Gather', [c.ops.shape(like), c.ops.ints([axis])]);
  const range = c.ops.op('Range', [c.ops.op('Squeeze', [c.ops.ints([0])]), c.ops.op('Squeeze', [classes]), c.ops.op('Squeeze', [c.ops.ints([1])])]);
  const rank = rankOf(like);
  const column = c.ops.unsqueeze(range, [...Array(rank - axis - 1).keys()].map((i) => i + 1));
  const hot = c.ops.op('Equal', [c.ops.unsqueeze(c.ops.op('Cast', [labels], { to: dtypes.int64.onnx }), [axis]), column]);
  return c.ops.op('CastLike', [hot, like]);
}

/** What each element counts in the mean or sum of a loss, (labels): its weight, 0 for a label that is ignored. */
function elementWeights(c: GradientContext, like: Value): { readonly weights: Value; readonly ignoring: boolean } {
  const labels = c.input(1);
  const ignored = c.node.int('ignore_index');
  const table = c.optional(2);
  const given = table ? c.ops.op('Gather', [table, readableLabels(c)]) : c.ops.expandLike(c.ops.scalar(1, like), labels);
  if (ignored === undefined) return { weights: given, ignoring: false };
  return { weights: c.ops.op('Where', [isIgnored(c, ignored), c.ops.scalar(0, like), given]), ignoring: true };
}

/** int64 labels, those that are ignored as 0. */
function readableLabels(c: GradientContext): Value {
  const ignored = c.node.int('ignore_index');
  const labels = ignored === undefined ? c.input(1) : c.ops.op('Where', [isIgnored(c, ignored), c.ops.op('CastLike', [c.ops.ints([0]), c.input(1)]), c.input(1)]);
  return dtypeOf(labels) === 'int64' ? labels : c.ops.op('Cast', [labels], { to: dtypes.int64.onnx });
}

const isIgnored = (c: GradientContext, index: number): Value => c.ops.op('Equal', [c.input(1), c.ops.op('CastLike', [c.ops.ints([index]), c.input(1)])]);

/** (labels): the gradient of the loss with respect to −log p of each element. */
function elementGradients(c: GradientContext, like: Value): Value {
  const reduction = c.node.string('reduction', 'mean');
  const { weights } = elementWeights(c, like);
  const gradient = c.ops.mul(weights, c.gradient);
  return reduction === 'mean' ? c.ops.div(gradient, c.ops.sum(weights, axesOf(weights), false)) : gradient;
}

/**
 * Σ p g of each row where p, on its last axis, is only read as the left side of a product o = p v, through a Reshape of its rows or not: then it is Σ (dL/do) o, which are shorter rows (Dao et al. 2022,
 * arXiv:2205.14135, appendix B). Undefined elsewhere.
 */
function attentionSums(c: GradientContext): Value | undefined {
  const rank = rankOf(c.output());
  if (axisOf(c) !== rank - 1 || rank < 2) return undefined;
  const reader = onlyReader(c, c.output());
  const reshape = reader?.opType === 'Reshape' && reader.domain === '' ? reader : undefined;
  const product = reshape ? onlyReader(c, reshape.output()) : reader;
  const read = (reshape ?? c.node).output();
  if (product?.opType !== 'MatMul' || product.domain !== '' || product.input(0) !== read || product.input(1) === read || rankOf(product.input(1)!) < 2) return undefined;
  const [mixed, before, after] = [product.output(), dimsOf(c.output())!, dimsOf(read)];
  const gradient = c.gradientAt(mixed);
  // No batch is repeated by the product, and a Reshape leaves rows whole.
  const whole = after?.at(-1) === before.at(-1) && typeof before.at(-1) !== 'object' && JSON.stringify(dimsOf(mixed)?.slice(0, -1)) === JSON.stringify(after?.slice(0, -1)) && !dimsOf(mixed)!.slice(0, -1).includes(null);
  if (!gradient || !whole) return undefined;
  const sums = c.ops.sum(c.ops.mul(gradient, mixed), [rankOf(mixed) - 1]);
  if (!reshape) return sums;
  const rows = before.slice(0, -1);
  if (rows.filter((dim) => typeof dim !== 'number').length <= 1) return c.ops.op('Reshape', [sums, c.ops.ints([...rows.map((dim) => (typeof dim === 'number' ? dim : -1)), 1])]);
  return c.ops.op('Reshape', [sums, c.ops.op('Concat', [c.ops.sizes(c.output(), 0, rank - 1), c.ops.ints([1])], { axis: 0 })]);
}

function onlyReader(c: GradientContext, value: Value): Node | undefined {
  const readers = c.readers(value);
  return readers.length === 1 ? readers[0] : undefined;
}

const LOSS_AXIS = 1;

export const reduceGradients = {
  CumSum: (c) => [() => c.ops.op('CumSum', [c.gradient, c.input(1)], { exclusive: c.node.int('exclusive', 0), reverse: 1 - c.node.int('reverse', 0) }), undefined],
  // g − p Σ g, p = exp y.
  LogSoftmax: (c) => [() => c.ops.sub(c.gradient, c.ops.mul(c.ops.op('Exp', [c.output()]), c.ops.sum(c.gradient, [axisOf(c)])))],
  NegativeLogLikelihoodLoss: (c) => [
    () => {
      const x = c.input(0);
      return c.ops.neg(c.ops.mul(oneHot(c, c.input(1), x, LOSS_AXIS), c.ops.unsqueeze(elementGradients(c, x), [LOSS_AXIS])));
    },
    undefined, undefined,
  ],
  ReduceL1: reduction((c, x) => c.ops.op('Sign', [x])),
  ReduceL2: reduction((c, x, y) => c.ops.div(x, y)),
  ReduceLogSum: reduction((c, _, y) => c.ops.op('Exp', [c.ops.neg(y)])),
  ReduceLogSumExp: reduction((c, x, y) => c.ops.op('Exp', [c.ops.sub(x, y)])),
  ReduceMax: extreme,
  ReduceMean: reduction((c, x, y) => c.ops.div(c.ops.op('CastLike', [c.ops.op('Size', [y]), x]), c.ops.op('CastLike', [c.ops.op('Size', [x]), x]))),
  ReduceMin: extreme,
  ReduceProd: reduction((c, x, y) => c.ops.div(y, x)),
  ReduceSum: reduction(() => undefined),
  ReduceSumSquare: reduction((c, x) => c.ops.scale(x, 2)),
  // p (g − Σ p g).
  Softmax: (c) => [() => {
    const sums = attentionSums(c);
    if (sums) return c.ops.mul(c.output(), c.ops.sub(c.gradient, sums));
    const weighted = c.ops.mul(c.output(), c.gradient);
    return c.ops.sub(weighted, c.ops.mul(c.output(), c.ops.sum(weighted, [axisOf(c)])));
  }],
  // (p − onehot) weight: the classes of an element are on axis 1.
  SoftmaxCrossEntropyLoss: (c) => [
    () => {
      if (c.gradientOf(1)) throw c.unsupported('a loss whose log probabilities are used too');
      const logits = c.input(0);
      // The loss computes these already; ones are taken off at the labels alone, since a table of them would be as large as the logits.
      const logProbabilities = c.require(1, dtypeOf(logits));
      logProbabilities.type = logits.type;
      const gradients = c.ops.unsqueeze(elementGradients(c, logits), [LOSS_AXIS]);
      const shares = c.ops.mul(c.ops.op('Exp', [logProbabilities]), gradients);
      return c.ops.op('ScatterElements', [shares, c.ops.unsqueeze(readableLabels(c), [LOSS_AXIS]), c.ops.neg(gradients)], { axis: LOSS_AXIS, reduction: 'add' });
    },
    undefined, undefined,
  ],
} as const satisfies Readonly<Record<string, GradientRule>>;
