/** Gradients of operators that move elements without changing them: the gradient moves back. */
import { type Value } from '@penjing/core';
import { dimsOf, rankOf } from '../ops.js';
import type { GradientContext, GradientRule } from '../rule.js';

const axisOf = (c: GradientContext, of: Value, fallback: number): number => {
  const axis = c.node.int('axis', fallback);
  return axis < 0 ? axis + rankOf(of) : axis;
};

const reshapeBack: GradientRule = (c) => [() => c.ops.reshapeLike(c.gradient, c.input(0))];

/** Indices counted from the end, made to count from the start of an axis. */
function fromStart(c: GradientContext, indices: Value, data: Value, axis: number): Value {
  const size = c.ops.op('Gather', [c.ops.shape(data), c.ops.ints([axis])]);
  const wide = c.ops.op('Cast', [indices], { to: 7 });
  return c.ops.op('Where', [c.ops.op('Less', [wide, c.ops.ints([0])]), c.ops.add(wide, size), wide]);
}

/**
 * Rows of a table: gradients of rows that were read more than once add up. ScatterElements, because ONNX Runtime's ScatterND(add) on several
 * threads loses additions to the same row.
 */
const gather: GradientRule = (c) => [
  () => {
    const [data, indices] = [c.input(0), c.input(1)];
    const axis = axisOf(c, data, 0);
    const [rank, indexRank] = [rankOf(data), rankOf(indices)];
    // The axes that the indices brought become one, where the table had its axis.
    const inner = [...Array(rank).keys()].filter((i) => i !== axis);
    const flat = c.ops.op('Reshape', [fromStart(c, indices, data, axis), c.ops.ints([-1])]);
    const count = c.ops.op('Shape', [flat]);
    const shape = c.ops.shape(data);
    const updates = c.ops.op('Concat', [
      ...inner.filter((i) => i < axis).map((i) => c.ops.op('Slice', [shape, c.ops.ints([i]), c.ops.ints([i + 1])])), count,
      ...inner.filter((i) => i > axis).map((i) => c.ops.op('Slice', [shape, c.ops.ints([i]), c.ops.ints([i + 1])])),
    ], { axis: 0 });
    const gradient = indexRank === 1 ? c.gradient : c.ops.op('Reshape', [c.gradient, updates]);
    const column = c.ops.op('Unsqueeze', [flat, c.ops.ints(inner)]);
    return c.ops.op('ScatterElements', [c.ops.zerosLike(data), c.ops.op('Expand', [column, updates]), gradient], { axis, reduction: 'add' });
  },
  undefined,
];

/** The pieces of an axis, given back where they came from. */
function splitBack(c: GradientContext, axis: number): Value[] {
  const sizes = c.node.inputs.map((_, i) => dimsOf(c.input(i))?.[axis]);
  const split = sizes.every((size): size is number => typeof size === 'number')
    ? c.ops.ints(sizes)
    : c.ops.op('Concat', c.node.inputs.map((_, i) => c.ops.op('Slice', [c.ops.shape(c.input(i)), c.ops.ints([axis]), c.ops.ints([axis + 1])])), { axis: 0 });
  return c.ops.nodes('Split', [c.gradient, split], { axis }, { outputCount: sizes.length });
}

/** A number for each axis of a value of this rank, 0 for those that are not in `axes`; `given` has the others in order. Pad gets all axes: ONNX Runtime 1.30 moves Transpose through one of some axes and fails. */
function onAllAxes(c: GradientContext, given: Value, axes: readonly number[], rank: number): Value {
  const parts = c.ops.nodes('Split', [given], { axis: 0, num_outputs: axes.length }, { outputCount: axes.length });
  return c.ops.op('Concat', [...Array(rank).keys()].map((axis) => (axes.includes(axis) ? parts[axes.indexOf(axis)]! : c.ops.ints([0]))), { axis: 0 });
}

/** The gradient of a Slice in steps of one whose place is known, with zeros around it. Undefined for others. */
function padded(c: GradientContext, axes: readonly number[], steps: readonly number[]): Value | undefined {
  const sizes = axes.map((axis) => dimsOf(c.input(0))?.[axis]);
  const counts = axes.map((axis) => dimsOf(c.gradient)?.[axis]);
  const starts = c.ops.knownInts(c.input(1));
  if (!starts || steps.some((step) => step !== 1) || ![...sizes, ...counts].every((size) => typeof size === 'number')) return undefined;
  const [size, count] = [sizes, counts] as [number[], number[]];
  const begin = starts.map((start, k) => Math.min(Math.max(start < 0 ? start + size[k]! : start, 0), size[k]!));
  const around = (of: (k: number) => number): number[] => [...Array(rankOf(c.input(0))).keys()].map((axis) => (axes.includes(axis) ? of(axes.indexOf(axis)) : 0));
  return c.ops.op('Pad', [c.gradient, c.ops.ints([...around((k) => begin[k]!), ...around((k) => size[k]! - begin[k]! - count[k]!)])]);
}

/** Zeros where nothing was read: between the elements of a step above one, and around them. Pad cuts off what a last, incomplete step is too long. */
const slice: GradientRule = (c) => [
  () => {
    const { ops } = c;
    const data = c.input(0);
    const rank = rankOf(data);
    const count = dimsOf(c.input(1))?.[0];
    if (typeof count !== 'number') throw c.unsupported('a Slice of an unknown number of axes');
    const axes = (c.optional(3) ? c.ints(3) : [...Array(count).keys()]).map((axis) => (axis < 0 ? axis + rank : axis));
    const steps = c.optional(4) ? c.ints(4) : axes.map(() => 1);
    const known = padded(c, axes, steps);
    if (known) return known;
    const at = ops.ints(axes);
    const sizes = ops.op('Gather', [ops.shape(data), at]);
    const counts = ops.op('Gather', [ops.op('Shape', [c.gradient]), at]);
    const wide = ops.op('Cast', [c.input(1)], { to: 7 });
    const first = ops.op('Where', [ops.op('Less', [wide, ops.ints([0])]), ops.add(wide, sizes), wide]);
    // A backward slice that begins beyond the end begins at the last element.
    const begin = ops.op('Max', [ops.op('Min', [first, ops.sub(sizes, ops.ints(steps.map((step) => (step < 0 ? 1 : 0))))]), ops.ints([0])]);
    const lowest = ops.add(begin, ops.mul(ops.sub(counts, ops.ints([1])), ops.ints(steps.map((step) => Math.min(step, 0)))));
    const spread = axes.reduce((gradient, axis, k) => spreadAxis(c, gradient, axis, steps[k]!), c.gradient);
    const after = ops.sub(ops.sub(sizes, lowest), ops.mul(counts, ops.ints(steps.map(Math.abs))));
    return ops.op('Pad', [spread, ops.op('Concat', [lowest, after].map((given) => onAllAxes(c, given, axes, rank)), { axis: 0 })]);
  },
  undefined, undefined, undefined, undefined,
];

/** (…, n, …) → (…, n · |step|, …): |step| − 1 zeros after each element, in the order of the data. */
function spreadAxis(c: GradientContext, gradient: Value, axis: number, step: number): Value {
  const { ops } = c;
  const rank = rankOf(gradient);
  const ordered = step < 0 ? ops.op('Slice', [gradient, ops.ints([-1]), ops.ints([Number.MIN_SAFE_INTEGER]), ops.ints([axis]), ops.ints([-1])]) : gradient;
  if (Math.abs(step) === 1) return ordered;
  const padded = ops.op('Pad', [ops.unsqueeze(ordered, [axis + 1]), ops.ints([0, Math.abs(step) - 1]), null, ops.ints([axis + 1])]);
  const shape = ops.op('Shape', [ordered]);
  const part = (from: number, to: number): Value[] => (from < to ? [ops.op('Slice', [shape, ops.ints([from]), ops.ints([to])])] : []);
  return ops.op('Reshape', [padded, ops.op('Concat', [...part(0, axis), ops.ints([-1]), ...part(axis + 1, rank)], { axis: 0 })]);
}

/** (N, C, H·b, W·b) → (N, C·b², H, W). */
function depthToSpaceBack(c: GradientContext): Value {
  const { ops } = c;
  const block = c.node.int('blocksize', 1);
  if (c.node.string('mode', 'DCR') === 'DCR') return ops.op('SpaceToDepth', [c.gradient], { blocksize: block });
  const [, channels, height, width] = dimsOf(c.input(0)) ?? [];
  if (typeof channels !== 'number' || typeof height !== 'number' || typeof width !== 'number') throw c.unsupported('DepthToSpace of an unknown size in mode CRD');
  const parts = ops.op('Reshape', [c.gradient, ops.ints([-1, channels / block ** 2, height, block, width, block])]);
  return ops.op('Reshape', [ops.transpose(parts, [0, 1, 3, 5, 2, 4]), ops.ints([-1, channels, height, width])]);
}

export const movementGradients = {
  Concat: (c) => {
    const axis = axisOf(c, c.output(), 0);
    let pieces: Value[] | undefined;
    return c.node.inputs.map((_, index) => () => (pieces ??= splitBack(c, axis))[index]!);
  },
  // The other way round; the order of channels stays that of the operator.
  DepthToSpace: (c) => [() => depthToSpaceBack(c)],
  Expand: (c) => [() => c.ops.sumTo(c.gradient, c.input(0)), undefined],
  Flatten: reshapeBack,
  Gather: gather,
  GatherElements: (c) => [
    () => {
      const data = c.input(0);
      return c.ops.op('ScatterElements', [c.ops.zerosLike(data), c.input(1), c.gradient], { axis: c.node.int('axis', 0), reduction: 'add' });
    },
    undefined,
  ],
  // Only zeros, or another constant, around; the padding itself gets no gradient.
  Pad: (c) => [
    () => {
      const mode = c.node.string('mode', 'constant');
      if (mode !== 'constant') throw c.unsupported(`Pad in mode ${mode}`);
      const data = c.input(0);
      const axes = c.optional(3) ? c.input(3) : c.ops.ints([...Array(rankOf(data)).keys()]);
      const count = c.ops.op('Shape', [axes]);
      const starts = c.ops.op('Slice', [c.input(1), c.ops.ints([0]), count]);
      const sizes = c.ops.op('Gather', [c.ops.shape(data), axes]);
      return c.ops.op('Slice', [c.gradient, starts, c.ops.add(starts, sizes), axes]);
    },
    undefined, undefined, undefined,
  ],
  Reshape: (c) => [() => c.ops.reshapeLike(c.gradient, c.input(0)), undefined],
  // What was written over gets nothing; added updates leave what was there.
  ScatterElements: (c) => {
    const axis = c.node.int('axis', 0);
    const reduction = c.node.string('reduction', 'none');
    if (reduction !== 'none' && reduction !== 'add') throw c.unsupported(`ScatterElements with ${reduction}`);
    return [
      () => (reduction === 'add' ? c.gradient : c.ops.op('ScatterElements', [c.gradient, c.input(1), c.ops.zerosLike(c.input(2))], { axis })),
      undefined,
      () => c.ops.op('GatherElements', [c.gradient, c.input(1)], { axis }),
    ];
  },
  Slice: slice,
  SpaceToDepth: (c) => [() => c.ops.op('DepthToSpace', [c.gradient], { blocksize: c.node.int('blocksize', 1) })],
  Split: (c) => [() => {
    const pieces = c.node.outputs.map((output, index) => c.gradientOf(index) ?? c.ops.zerosLike(output));
    return pieces.length === 1 ? pieces[0]! : c.ops.op('Concat', pieces, { axis: c.node.int('axis', 0) });
  }, undefined],
  Squeeze: (c) => [() => c.ops.reshapeLike(c.gradient, c.input(0)), undefined],
  Tile: (c) => [
    () => {
      // (r₀, n₀, r₁, n₁, …), summed over the repeats.
      const data = c.input(0);
      const rank = rankOf(data);
      const pairs = c.ops.op('Reshape', [c.ops.op('Concat', [c.ops.unsqueeze(c.input(1), [1]), c.ops.unsqueeze(c.ops.shape(data), [1])], { axis: 1 }), c.ops.ints([2 * rank])]);
      return c.ops.sum(c.ops.op('Reshape', [c.gradient, pairs]), [...Array(rank).keys()].map((i) => 2 * i), false);
    },
    undefined,
  ],
  Transpose: (c) => [
    () => {
      const rank = rankOf(c.input(0));
      const perm = c.node.ints('perm') ?? [...Array(rank).keys()].reverse();
      return c.ops.transpose(c.gradient, perm.map((_, i) => perm.indexOf(i)));
    },
  ],
  TopK: (c) => [
    () => {
      const data = c.input(0);
      const axis = axisOf(c, data, -1);
      return c.ops.op('ScatterElements', [c.ops.zerosLike(data), c.require(1, 'int64'), c.gradient], { axis });
    },
    undefined,
  ],
  Trilu: (c) => [() => c.ops.op('Trilu', [c.gradient, c.optional(1)], { upper: c.node.int('upper', 1) }), undefined],
  Unsqueeze: (c) => [() => c.ops.reshapeLike(c.gradient, c.input(0)), undefined],
} as const satisfies Readonly<Record<string, GradientRule>>;
