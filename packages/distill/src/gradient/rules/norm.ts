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

/** With the statistics of the batch (`training_mode`), or as the affine map that it is with stored ones. */
const batchNorm: GradientRule = (c) => {
  const { ops } = c;
  const [x, scale] = [c.input(0), c.input(1)];
  const rank = rankOf(x);
  const training = c.node.int('training_mode', 0) === 1;
  const epsilon = c.node.float('epsilon', 1e-5);
  let once: ReturnType<typeof normalized> | undefined;
  const norm = (): ReturnType<typeof normalized> => {
    if (once) return once;
    if (training) return (once = normalized(c, x, otherAxes(rank), epsilon, true));
    const inverse = perChannel(c, ops.op('Reciprocal', [ops.op('Sqrt', [ops.add(c.input(4), ops.scalar(epsilon, x))])]), rank);
    return (once = { unit: ops.mul(ops.sub(x, perChannel(c, c.input(3), rank)), inverse), inverse });
  };
  return [
    () => {
      const d = ops.mul(c.gradient, perChannel(c, scale, rank));
      return training ? inputGradient(c, d, norm(), otherAxes(rank), true) : ops.mul(d, norm().inverse);
    },
    () => ops.sum(ops.mul(c.gradient, norm().unit), otherAxes(rank), false),
    () => ops.sum(c.gradient, otherAxes(rank), false),
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
