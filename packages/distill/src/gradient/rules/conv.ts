/** Gradients of convolutions and pooling. */
import { denseOf, type Value } from '@penjing/core';
import { dimsOf, dtypeOf, rankOf } from '../ops.js';
import type { GradientContext, GradientRule } from '../rule.js';
import { kernelGradient } from './kernel-gradient.js';
import { attributesOf, type Window } from './window.js';

/** The window of a node over the spatial axes of `x`, with padding in numbers. */
function windowOf(c: GradientContext, x: Value, kernel: readonly number[]): Window {
  const ones = kernel.map(() => 1);
  const strides = c.node.ints('strides') ?? ones;
  const dilations = c.node.ints('dilations') ?? ones;
  const mode = c.node.string('auto_pad', 'NOTSET');
  if (c.node.int('ceil_mode', 0) === 1) throw c.unsupported(`${c.node.opType} with ceil_mode`);
  if (mode === 'NOTSET') return { kernel, strides, dilations, pads: c.node.ints('pads') ?? [...kernel, ...kernel].map(() => 0) };
  if (mode === 'VALID') return { kernel, strides, dilations, pads: [...kernel, ...kernel].map(() => 0) };
  const totals = kernel.map((size, i) => {
    const length = dimsOf(x)?.[i + 2];
    if (typeof length !== 'number') throw c.unsupported(`${c.node.opType} with auto_pad over an axis of unknown size`);
    const [stride, reach] = [strides[i]!, dilations[i]! * (size - 1) + 1];
    return Math.max(0, (Math.ceil(length / stride) - 1) * stride + reach - length);
  });
  const small = totals.map((total) => Math.floor(total / 2));
  const large = totals.map((total, i) => total - small[i]!);
  return { kernel, strides, dilations, pads: mode === 'SAME_UPPER' ? [...small, ...large] : [...large, ...small] };
}

function kernelOf(c: GradientContext, weights: Value): number[] {
  const dims = dimsOf(weights)?.slice(2);
  if (!dims?.every((dim): dim is number => typeof dim === 'number')) throw c.unsupported(`${c.node.opType} with a kernel of unknown size`);
  return dims;
}

/** Sizes that a stride left over, which only ConvTranspose's output_padding gives back; undefined where they show at run time. */
function leftOver(x: Value, { kernel, strides, dilations, pads }: Window): number[] | undefined {
  const left = kernel.map((size, i) => {
    if (strides[i] === 1) return 0;
    const length = dimsOf(x)?.[i + 2];
    return typeof length === 'number' ? (length + pads[i]! + pads[i + kernel.length]! - dilations[i]! * (size - 1) - 1) % strides[i]! : undefined;
  });
  return left.every((count) => count !== undefined) ? left : undefined;
}

/** The transposed convolution, cut or filled up at the end of each axis to the size of `x`. */
function spreadToSize({ ops }: GradientContext, gradient: Value, weights: Value, x: Value, window: Window, group: number): Value {
  const { kernel, pads } = window;
  const axes = kernel.map((_, i) => i + 2);
  const begun = { ...window, pads: pads.map((pad, i) => (i < kernel.length ? pad : 0)) };
  const all = ops.op('ConvTranspose', [gradient, weights], attributesOf(begun, group));
  const missing = ops.sub(ops.sizes(x, 2), ops.sizes(all, 2));
  return ops.op('Pad', [all, ops.op('Concat', [ops.ints(axes.map(() => 0)), missing], { axis: 0 }), null, ops.ints(axes)]);
}

/** Σ over windows: the transposed convolution of `gradient` with `weights` (outputs, inputs / group, …), of the size of `x`. */
function spreadWindows(c: GradientContext, gradient: Value, weights: Value, x: Value, window: Window, group: number): Value {
  const { kernel, strides, dilations, pads } = window;
  const flipped = kernel.every((size, i) => strides[i] === 1 && dilations[i]! * (size - 1) >= Math.max(pads[i]!, pads[i + kernel.length]!));
  if (!flipped) {
    const padding = leftOver(x, window);
    return padding ? c.ops.op('ConvTranspose', [gradient, weights], { ...attributesOf(window, group), output_padding: padding }) : spreadToSize(c, gradient, weights, x, window, group);
  }
  // With steps of one it is a convolution by the flipped kernel, which ONNX Runtime has a fast form of (twice ConvTranspose's speed).
  const axes = kernel.map((_, i) => i + 2);
  const { ops } = c;
  const back = ops.op('Slice', [weights, ops.ints(axes.map(() => -1)), ops.ints(axes.map(() => Number.MIN_SAFE_INTEGER)), ops.ints(axes), ops.ints(axes.map(() => -1))]);
  return ops.op('Conv', [gradient, swapChannels(c, back, group)], {
    kernel_shape: kernel, dilations, group, strides,
    pads: [...kernel, ...kernel].map((size, i) => dilations[i % kernel.length]! * (size - 1) - pads[i]!),
  });
}

/** (groups · o, i, …) → (groups · i, o, …). */
function swapChannels(c: GradientContext, weights: Value, group: number): Value {
  const rank = rankOf(weights);
  const rest = [...Array(rank - 2).keys()].map((i) => i + 2);
  if (group === 1) return c.ops.transpose(weights, [1, 0, ...rest]);
  const dims = dimsOf(weights) as readonly number[];
  const split = c.ops.op('Reshape', [weights, c.ops.ints([group, dims[0]! / group, ...dims.slice(1)])]);
  const turned = c.ops.transpose(split, [0, 2, 1, ...rest.map((axis) => axis + 1)]);
  return c.ops.op('Reshape', [turned, c.ops.ints([group * dims[1]!, dims[0]! / group, ...dims.slice(2)])]);
}

const allButChannels = (rank: number): number[] => [...Array(rank).keys()].filter((axis) => axis !== 1);

const conv: GradientRule = (c) => {
  const [x, weights] = [c.input(0), c.input(1)];
  const group = c.node.int('group', 1);
  const window = windowOf(c, x, kernelOf(c, weights));
  return [
    () => spreadWindows(c, c.gradient, weights, x, window, group),
    () => kernelGradient(c, c.gradient, x, window, group),
    () => c.ops.sum(c.gradient, allButChannels(rankOf(x)), false),
  ];
};

/** A transposed convolution is the gradient of a convolution, so its own gradients are that convolution, with roles swapped. */
const convTranspose: GradientRule = (c) => {
  const [x, weights] = [c.input(0), c.input(1)];
  const group = c.node.int('group', 1);
  if (c.node.ints('output_shape')) throw c.unsupported('ConvTranspose with output_shape');
  const window = windowOf(c, x, kernelOf(c, weights));
  return [
    () => c.ops.op('Conv', [c.gradient, weights], attributesOf(window, group)),
    () => kernelGradient(c, x, c.gradient, window, group),
    () => c.ops.sum(c.gradient, allButChannels(rankOf(x)), false),
  ];
};

/** To the element that was the largest; the forward node says which (it gets its second output). */
const maxPool: GradientRule = (c) => [
  () => {
    const { ops } = c;
    const x = c.input(0);
    const indices = c.require(1, 'int64');
    const flat = (value: Value): Value => ops.op('Reshape', [value, ops.ints([-1])]);
    return ops.reshapeLike(ops.op('ScatterElements', [flat(ops.zerosLike(x)), flat(indices), flat(c.gradient)], { axis: 0, reduction: 'add' }), x);
  },
];

const averagePool: GradientRule = (c) => [
  () => {
    const { ops } = c;
    const x = c.input(0);
    const kernel = c.node.ints('kernel_shape') ?? [];
    const window = windowOf(c, x, kernel);
    const channels = dimsOf(x)?.[1];
    if (typeof channels !== 'number') throw c.unsupported('AveragePool of an unknown number of channels');
    const taps = kernel.reduce((count, size) => count * size, 1);
    const ones = ops.weight('ones', denseOf(dtypeOf(x), [channels, 1, ...kernel], new Array<number>(channels * taps).fill(1)));
    // Without the padding, windows at the border hold fewer elements.
    const whole = c.node.int('count_include_pad', 0) === 1 || window.pads.every((pad) => pad === 0);
    const counts = whole ? ops.scalar(taps, x) : ops.op('Conv', [ops.expandLike(ops.scalar(1, x), x), ones], attributesOf(window, channels));
    return spreadWindows(c, ops.div(c.gradient, counts), ones, x, window, channels);
  },
];

const spatialAxes = (x: Value): number[] => [...Array(rankOf(x) - 2).keys()].map((i) => i + 2);

const globalAveragePool: GradientRule = (c) => [
  () => {
    const { ops } = c;
    const x = c.input(0);
    const count = ops.div(ops.op('CastLike', [ops.op('Size', [x]), x]), ops.op('CastLike', [ops.op('Size', [c.output()]), x]));
    return ops.expandLike(ops.div(c.gradient, count), x);
  },
];

/** Several elements may be the largest: they share. */
const globalMaxPool: GradientRule = (c) => [
  () => {
    const equal = c.ops.op('CastLike', [c.ops.op('Equal', [c.input(0), c.output()]), c.input(0)]);
    return c.ops.mul(c.ops.div(equal, c.ops.sum(equal, spatialAxes(c.input(0)))), c.gradient);
  },
];

export const convGradients = {
  AveragePool: averagePool,
  Conv: conv,
  ConvTranspose: convTranspose,
  GlobalAveragePool: globalAveragePool,
  GlobalMaxPool: globalMaxPool,
  MaxPool: maxPool,
} as const satisfies Readonly<Record<string, GradientRule>>;
