/** The gradient of the kernel of a convolution, as products of matrices. */
import { denseOf, type Value } from '@penjing/core';
import { dimsOf, dtypeOf } from '../ops.js';
import type { GradientContext } from '../rule.js';
import { attributesOf, type Window } from './window.js';

/**
 * Σ over images and windows of `gradient` (N, O, P) times the patch of `x` (N, I, …) under the window: (O, I / group, …). Patches are cut by convolutions with kernels of a single one, which beats shifted
 * products and a convolution over the batch in ONNX Runtime.
 */
export function kernelGradient(c: GradientContext, gradient: Value, x: Value, window: Window, group: number): Value {
  const { ops } = c;
  const [inputs, outputs] = [dimsOf(x)?.[1], dimsOf(gradient)?.[1]];
  if (typeof inputs !== 'number' || typeof outputs !== 'number') throw c.unsupported(`${c.node.opType} with an unknown number of channels`);
  if (isSeparable(window, group)) {
    const chunks = chunksOf(x, window, [outputs, inputs]);
    if (chunks === 1) return separated(c, gradient, x, window, [outputs, inputs]);
    const cut = (value: Value): Value[] => ops.nodes('Split', [value], { axis: 0, num_outputs: chunks }, { outputCount: chunks });
    const [gradients, images] = [cut(gradient), cut(x)];
    return ops.op('Sum', gradients.map((part, i) => separated(c, part, images[i]!, window, [outputs, inputs])));
  }
  const taps = product(window.kernel);
  const pointwise = taps === 1 && window.strides.every((stride) => stride === 1) && window.pads.every((pad) => pad === 0);
  const patches = pointwise ? x : ops.op('Conv', [x, singleOnes(c, inputs, window.kernel, x)], attributesOf(window, inputs));
  const shape = ops.ints([outputs, inputs / group, ...window.kernel]);
  if (group === 1) return ops.op('Reshape', [summedProduct(c, gradient, patches, outputs, inputs * taps), shape]);
  const grouped = (value: Value, channels: number): Value => ops.op('Reshape', [value, ops.ints([0, group, channels / group, -1])]);
  const each = ops.matmul(grouped(gradient, outputs), ops.transposeLast(grouped(patches, inputs * taps)));
  return ops.op('Reshape', [ops.sum(each, [0], false), shape]);
}

/** Copies of more than this many bytes do not stay in a cache between the node that writes them and the one that reads them (a third of the time of both, on a processor with 1 MB for each core and 32 MB for all). */
const CACHED_BYTES = 3 * 2 ** 20;

/** In how many parts of equal size the images are taken, so that their shifted copies stay in the cache. */
function chunksOf(x: Value, { kernel }: Window, [outputs, inputs]: readonly [number, number]): number {
  const [images, , ...places] = dimsOf(x) ?? [];
  if (typeof images !== 'number' || !places.every((size): size is number => typeof size === 'number')) return 1;
  const bytes = 4 * images * product(places) * (outputs * kernel[0]! + inputs * kernel[1]!);
  for (let chunks = Math.ceil(bytes / CACHED_BYTES); chunks < images; chunks++) if (images % chunks === 0) return chunks;
  return 1;
}

/** Two axes, steps of one, and padding that no window lies in whole. */
function isSeparable({ kernel, strides, dilations, pads }: Window, group: number): boolean {
  return group === 1 && kernel.length === 2 && kernel.every((size, i) => size > 1 && strides[i] === 1 && Math.max(pads[i]!, pads[i + 2]!) <= dilations[i]! * (size - 1));
}

/**
 * With steps of one, x shifted along its rows and the gradient shifted along its columns make up all shifts between the two: one product of k + k copies instead of k² copies of x.
 * (N, O k, P) · (N, I k, P)ᵀ → (O, k, I, k).
 */
function separated(c: GradientContext, gradient: Value, x: Value, { kernel, dilations, pads }: Window, [outputs, inputs]: readonly [number, number]): Value {
  const { ops } = c;
  const [height, width] = kernel as [number, number];
  const reach = dilations[0]! * (height - 1);
  const across = ops.op('Conv', [x, singleOnes(c, inputs, [1, width], x)], { kernel_shape: [1, width], dilations: [1, dilations[1]!], pads: [0, pads[1]!, 0, pads[3]!], group: inputs });
  const down = ops.op('Conv', [gradient, singleOnes(c, outputs, [height, 1], x, true)], { kernel_shape: [height, 1], dilations: [dilations[0]!, 1], pads: [reach - pads[0]!, 0, reach - pads[2]!, 0], group: outputs });
  const all = ops.op('Reshape', [summedProduct(c, down, across, outputs * height, inputs * width), ops.ints([outputs, height, inputs, width])]);
  return ops.transpose(all, [0, 2, 1, 3]);
}

/** Σ over images of a (N, rows, …) times bᵀ (…, columns, N): (rows, columns). Where one product per image would be larger than what it is made of, images become part of the inner axis first. */
function summedProduct(c: GradientContext, a: Value, b: Value, rows: number, columns: number): Value {
  const { ops } = c;
  const flat = (value: Value, channels: number): Value => ops.op('Reshape', [value, ops.ints([0, channels, -1])]);
  const places = dimsOf(a)?.slice(2);
  const known = places?.every((size): size is number => typeof size === 'number') ? product(places) : Infinity;
  if (rows * columns <= (rows + columns) * known) return ops.sum(ops.matmul(flat(a, rows), ops.transposeLast(flat(b, columns))), [0], false);
  const joined = (value: Value, channels: number): Value => ops.op('Reshape', [ops.transpose(flat(value, channels), [1, 0, 2]), ops.ints([channels, -1])]);
  return ops.matmul(joined(a, rows), ops.transpose(joined(b, columns), [1, 0]));
}

/** (channels · taps, 1, …): kernel t of each channel is 1 at tap t, or at the t-th from the end, and 0 elsewhere. */
function singleOnes(c: GradientContext, channels: number, kernel: readonly number[], like: Value, reversed = false): Value {
  const taps = product(kernel);
  const ones = new Array<number>(channels * taps * taps).fill(0);
  for (let channel = 0; channel < channels; channel++) for (let tap = 0; tap < taps; tap++) ones[(channel * taps + tap) * taps + (reversed ? taps - 1 - tap : tap)] = 1;
  return c.ops.weight('taps', denseOf(dtypeOf(like), [channels * taps, 1, ...kernel], ones));
}

const product = (sizes: readonly number[]): number => sizes.reduce((count, size) => count * size, 1);
