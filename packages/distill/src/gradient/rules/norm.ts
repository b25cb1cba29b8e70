/** Gradients of normalizations. */
import type { Value } from '@penjing/core';
import { dimsOf, rankOf } from '../ops.js';
import type { GradientContext, GradientRule } from '../rule.js';

/** Axes from `axis` on. */
function trailingAxes(c: GradientContext): number[] {
  const rank = rankOf(c.input(0));
  const axis = c.node.int('axis', -1);
  const first = axis < 0 ? axis + rank : axis;
  return [...Array(rank - first).keys()].map((i) => first + i);
}

/** x̂ = (x − mean) / σ over `axes` and 1/σ, from the input: what the forward pass kept to itself. `centred`: RMSNorm has no mean. */
function normalized(c: GradientContext, x: Value, axes: readonly number[], epsilon: number, centred: boolean): { readonly unit: Value; readonly inverse: Value } {
  const { ops } = c;
  const deviation = centred ? ops.sub(x, ops.mean(x, axes)) : x;
  const variance = ops.mean(ops.mul(deviation, deviation), axes);
  const inverse = ops.op('Reciprocal', [ops.op('Sqrt', [ops.add(variance, ops.scalar(epsilon, x))])]);
  return { unit: ops.mul(deviation, inverse), inverse };
}

/** dx = (d − mean(d) − x̂ mean(d x̂)) / σ with d the gradient of x̂. */
function inputGradient(c: GradientContext, d: Value, { unit, inverse }: { unit: Value; inverse: Value }, axes: readonly number[], centred: boolean): Value {
  const { ops } = c;
  const along = ops.mul(unit, ops.mean(ops.mul(d, unit), axes));
  const left = ops.sub(centred ? ops.sub(d, ops.mean(d, axes)) : d, along);
  return ops.mul(left, inverse);
}

/** LayerNormalization and RMSNormalization: scale and bias broadcast over the leading axes. */
const trailing = (centred: boolean): GradientRule => (c) => {
  const axes = trailingAxes(c);
  const [x, scale] = [c.input(0), c.input(1)];
  let once: ReturnType<typeof normalized> | undefined;
  const norm = (): ReturnType<typeof normalized> => (once ??= normalized(c, x, axes, c.node.float('epsilon', 1e-5), centred));
  return [
    () => inputGradient(c, c.ops.mul(c.gradient, scale), norm(), axes, centred),
    () => c.ops.sumTo(c.ops.mul(c.gradient, norm().unit), scale),
    () => c.ops.sumTo(c.gradient, c.input(2)),
  ];
};

/** A vector per channel as (1, C, 1, …). */
const perChannel = (c: GradientContext, vector: Value, rank: number): Value => c.ops.unsqueeze(vector, [0, ...[...Array(Math.max(0, rank - 2)).keys()].map((i) => i + 2)].slice(0, rank - 1));

/** Every axis but that of the channels. */
const otherAxes = (rank: number): number[] => [...Array(rank).keys()].filter((axis) => axis !== 1);

/** (N, C, …) → (C), first within images: float32 sums of 100,000 numbers in a row lose three digits, and ONNX Runtime sums neighbours faster. */
function sumPerChannel({ ops }: GradientContext, x: Value, reduce: 'ReduceSum' | 'ReduceSumSquare' = 'ReduceSum'): Value {
  const axes = [...Array(rankOf(x) - 2).keys()].map((i) => i + 2);
  const each = axes.length === 0 ? (reduce === 'ReduceSum' ? x : ops.mul(x, x)) : ops.op(reduce, [x, ops.ints(axes)], { keepdims: 0 });
  return ops.sum(each, [0], false);
}

/** Images smaller than this are multiplied and summed faster than ONNX Runtime calls its inner product for each. */
const SMALLEST_PRODUCT = 400;

/** Σ a b over all but the channels, (N, C, …) → (C): inner products of images (0.5 ms for 1.6 million elements; a product and a sum take 0.7, a sum of squares 1.2). */
function dotPerChannel(c: GradientContext, a: Value, b: Value): Value {
  const { ops } = c;
  const [channels, ...places] = dimsOf(a)?.slice(1) ?? [];
  const size = places.every((length): length is number => typeof length === 'number') ? places.reduce((product, length) => product * length, 1) : 0;
  if (typeof channels !== 'number' || size < SMALLEST_PRODUCT) return a === b ? sumPerChannel(c, a, 'ReduceSumSquare') : sumPerChannel(c, ops.mul(a, b));
  const row = (x: Value): Value => ops.op('Reshape', [x, ops.ints([-1, 1, size])]);
  const each = ops.matmul(row(a), ops.transpose(row(b), [0, 2, 1]));
  return ops.sum(ops.op('Reshape', [each, ops.ints([-1, channels])]), [0], false);
}

/** As the affine map that it is with stored statistics. */
const storedBatchNorm: GradientRule = (c) => {
  const { ops } = c;
  const [x, scale] = [c.input(0), c.input(1)];
  const rank = rankOf(x);
  let inverse: Value | undefined;
  const inverseOf = (): Value => (inverse ??= perChannel(c, ops.op('Reciprocal', [ops.op('Sqrt', [ops.add(c.input(4), ops.scalar(c.node.float('epsilon', 1e-5), x))])]), rank));
  return [
    () => ops.mul(c.gradient, ops.mul(perChannel(c, scale, rank), inverseOf())),
    () => ops.sum(ops.mul(c.gradient, ops.mul(ops.sub(x, perChannel(c, c.input(3), rank)), inverseOf())), otherAxes(rank), false),
    () => ops.sum(c.gradient, otherAxes(rank), false),
    undefined, undefined,
  ];
};

/** What the forward and the backward pass both need of a batch: x less its mean, and per channel 1/σ and the number of elements. */
interface BatchStatistics {
  readonly deviation: Value;
  readonly inverse: Value;
  readonly count: Value;
}

/** Lets the forward pass compute its statistics where the backward pass can see them, and use them as if they were stored. */
function sharedStatistics(c: GradientContext): BatchStatistics {
  const { ops, node } = c;
  const [x, scale] = [c.input(0), c.input(1)];
  return ops.before(node, () => {
    const count = ops.op('CastLike', [ops.op('Div', [ops.op('Size', [x]), ops.op('Size', [scale])]), x]);
    const mean = ops.div(sumPerChannel(c, x), count); // (C)
    const deviation = ops.sub(x, perChannel(c, mean, rankOf(x)));
    const variance = ops.div(dotPerChannel(c, deviation, deviation), count);
    const inverse = ops.op('Reciprocal', [ops.op('Sqrt', [ops.add(variance, ops.scalar(node.float('epsilon', 1e-5), x))])]);
    const momentum = node.float('momentum', 0.9);
    const moved = (old: Value, now: Value): Value => ops.add(ops.scale(old, momentum), ops.scale(ops.op('CastLike', [now, old]), 1 - momentum));
    c.substitute(1, () => moved(c.input(3), mean));
    c.substitute(2, () => moved(c.input(4), variance));
    node.attributes.delete('training_mode');
    node.truncateOutputs(1);
    node.setInput(0, deviation);
    node.setInput(3, ops.sub(variance, variance));
    node.setInput(4, variance);
    return { deviation, inverse, count };
  });
}

/**
 * With the statistics of the batch (`training_mode`): dx = s/σ (g − mean g − (x − mean) mean(g (x − mean)) / σ²), per channel (Ioffe and Szegedy 2015, arXiv:1502.03167), in the fewest
 * walks over all elements.
 */
const batchNorm: GradientRule = (c) => {
  if (c.node.int('training_mode', 0) !== 1) return storedBatchNorm(c);
  const { ops } = c;
  const [x, scale] = [c.input(0), c.input(1)];
  const rank = rankOf(x);
  const { deviation, inverse, count } = sharedStatistics(c);
  const total = sumPerChannel(c, c.gradient); // (C)
  const along = dotPerChannel(c, c.gradient, deviation); // (C)
  return [
    () => {
      const factor = ops.mul(scale, inverse);
      const wide = (vector: Value): Value => perChannel(c, vector, rank);
      const slope = ops.div(ops.mul(ops.mul(inverse, inverse), along), count);
      const shift = ops.add(ops.mul(deviation, wide(ops.mul(factor, slope))), wide(ops.mul(factor, ops.div(total, count))));
      return ops.sub(ops.mul(c.gradient, wide(factor)), shift);
    },
    () => ops.mul(along, inverse),
    () => total,
    undefined, undefined,
  ];
};

/** Each channel of each image by itself. */
const instanceNorm: GradientRule = (c) => {
  const { ops } = c;
  const [x, scale] = [c.input(0), c.input(1)];
  const rank = rankOf(x);
  const axes = [...Array(rank - 2).keys()].map((i) => i + 2);
  let once: ReturnType<typeof normalized> | undefined;
  const norm = (): ReturnType<typeof normalized> => (once ??= normalized(c, x, axes, c.node.float('epsilon', 1e-5), true));
  return [
    () => inputGradient(c, ops.mul(c.gradient, perChannel(c, scale, rank)), norm(), axes, true),
    () => ops.sum(ops.mul(c.gradient, norm().unit), otherAxes(rank), false),
    () => ops.sum(c.gradient, otherAxes(rank), false),
  ];
};

/** Channels in groups: (N, C, …) as (N, groups, everything else). Scale and bias per channel, since opset 21. */
const groupNorm: GradientRule = (c) => {
  const { ops } = c;
  const [x, scale] = [c.input(0), c.input(1)];
  const rank = rankOf(x);
  const groups = c.node.int('num_groups');
  if (groups === undefined || dimsOf(scale)?.[0] !== dimsOf(x)?.[1]) throw c.unsupported('GroupNormalization with a scale per group');
  const grouped = (value: Value): Value => ops.op('Reshape', [value, ops.ints([0, groups, -1])]);
  let once: ReturnType<typeof normalized> | undefined;
  const norm = (): ReturnType<typeof normalized> => (once ??= normalized(c, grouped(x), [2], c.node.float('epsilon', 1e-5), true));
  return [
    () => ops.reshapeLike(inputGradient(c, grouped(ops.mul(c.gradient, perChannel(c, scale, rank))), norm(), [2], true), x),
    () => ops.sum(ops.mul(c.gradient, ops.reshapeLike(norm().unit, x)), otherAxes(rank), false),
    () => ops.sum(c.gradient, otherAxes(rank), false),
  ];
};

/** y = x / ‖x‖: (g − y Σ g y) / ‖x‖ for the Euclidean norm, (g − sign(x) Σ g y) / ‖x‖ for the sum of magnitudes. */
const lpNorm: GradientRule = (c) => [
  () => {
    const { ops } = c;
    const [x, y] = [c.input(0), c.output()];
    const axis = c.node.int('axis', -1);
    const axes = [axis < 0 ? axis + rankOf(x) : axis];
    const euclidean = c.node.int('p', 2) === 2;
    const along = ops.mul(euclidean ? y : ops.op('Sign', [x]), ops.sum(ops.mul(c.gradient, y), axes));
    const norm = euclidean ? ops.op('Sqrt', [ops.sum(ops.mul(x, x), axes)]) : ops.sum(ops.op('Abs', [x]), axes);
    return ops.div(ops.sub(c.gradient, along), norm);
  },
];

/** (x − mean) / σ over `axes`, without an epsilon worth the name. */
const meanVariance: GradientRule = (c) => [
  () => {
    const x = c.input(0);
    const axes = (c.node.ints('axes') ?? [0, 2, 3]).map((axis) => (axis < 0 ? axis + rankOf(x) : axis));
    return inputGradient(c, c.gradient, normalized(c, x, axes, 1e-9, true), axes, true);
  },
];

export const normGradients = {
  BatchNormalization: batchNorm,
  GroupNormalization: groupNorm,
  InstanceNormalization: instanceNorm,
  LayerNormalization: trailing(true),
  LpNormalization: lpNorm,
  MeanVarianceNormalization: meanVariance,
  RMSNormalization: trailing(false),
  SimplifiedLayerNormalization: trailing(false),
} as const satisfies Readonly<Record<string, GradientRule>>;
