/** How windows slide: ONNX's pads in terms of TFLite's SAME and VALID, and the PAD in front when neither fits. */
import type { LowerContext } from '../lower-context.js';
import type { TfTensor } from '../tf-graph.js';
import { padding } from '../../schema.js';

/** One spatial axis. */
export interface Axis {
  readonly size: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly before: number;
  readonly after: number;
  readonly out: number;
}

export function reachOf({ kernel, dilation }: { readonly kernel: number; readonly dilation: number }): number {
  return (kernel - 1) * dilation + 1;
}

/** Axes of a convolution or pooling node, two of them: a signal is an image of height 1. */
export function axesOf(c: LowerContext, kernel: readonly number[]): [Axis, Axis] {
  const { node } = c;
  const sizes = c.shape(0).slice(2).map((dim) => (typeof dim === 'number' ? dim : c.failOpen(c.value(0))));
  const outs = c.outShape().slice(2).map((dim) => (typeof dim === 'number' ? dim : c.failOpen(node.output())));
  const [strides, dilations, pads] = [node.ints('strides'), node.ints('dilations'), node.ints('pads')];
  const auto = node.string('auto_pad', 'NOTSET');
  const axes = sizes.map((size, i): Axis => {
    const [stride, dilation] = [strides?.[i] ?? 1, dilations?.[i] ?? 1];
    const out = outs[i]!;
    const shape = { size, kernel: kernel[i]!, stride, dilation, out };
    if (auto === 'NOTSET') return { ...shape, before: pads?.[i] ?? 0, after: pads?.[i + sizes.length] ?? 0 };
    const total = auto === 'VALID' ? 0 : Math.max(0, (out - 1) * stride + reachOf(shape) - size);
    const less = Math.floor(total / 2);
    return auto === 'SAME_LOWER' ? { ...shape, before: total - less, after: less } : { ...shape, before: less, after: total - less };
  });
  if (axes.some(({ before, after }) => before < 0 || after < 0)) throw c.fail('it has negative pads', 'Crop the input with a Slice first.');
  if (axes.length === 1) return [{ size: 1, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0, out: 1 }, axes[0]!];
  if (axes.length === 2) return axes as [Axis, Axis];
  throw c.fail(`it works on ${axes.length} spatial axes`, 'TFLite images have two.');
}

/** What TFLite's SAME adds on both sides. */
export function samePads(axis: Axis): [before: number, after: number] {
  const total = Math.max(0, (axis.out - 1) * axis.stride + reachOf(axis) - axis.size);
  return [Math.floor(total / 2), total - Math.floor(total / 2)];
}

/** True when SAME gives these outputs from these pads. */
export function isSame(axis: Axis): boolean {
  const [before] = samePads(axis);
  // What is added behind the last window is never read.
  return axis.out === Math.ceil(axis.size / axis.stride) && before === axis.before;
}

/** True when every window lies inside without any pads. */
export function isValid(axis: Axis): boolean {
  return axis.before === 0 && axis.out === Math.floor((axis.size - reachOf(axis)) / axis.stride) + 1;
}

/** Pads that VALID windows need: up to the end of the last one, and no further. */
export function neededPads(axis: Axis): [before: number, after: number] {
  return [axis.before, Math.max(0, (axis.out - 1) * axis.stride + reachOf(axis) - axis.size - axis.before)];
}

/** (N, W, C) as (N, 1, W, C); an image stays as it is. */
export function asImage(c: LowerContext, x: TfTensor): TfTensor {
  return x.shape.length === 4 ? x : c.reshape(x, [x.shape[0]!, 1, x.shape[1]!, x.shape[2]!]);
}

/** Adds pads to (N, H, W, C); with zeros, or with `value`. */
export function padImage(c: LowerContext, x: TfTensor, height: readonly [number, number], width: readonly [number, number], value?: number): TfTensor {
  const [n, h, w, channels] = x.shape;
  const shape = [n!, (h as number) + height[0] + height[1], (w as number) + width[0] + width[1], channels!];
  const pads = c.ints([0, 0, ...height, ...width, 0, 0], [4, 2]);
  if (value === undefined) return c.emit('PAD', [x, pads], { shape, dtype: x.dtype, ...keep(x), options: { type: 'PadOptions', value: {} } });
  return c.emit('PADV2', [x, pads, c.scalar(value, x.dtype)], { shape, dtype: x.dtype, ...keep(x), options: { type: 'PadV2Options', value: {} } });
}

const keep = (x: TfTensor): { quantization?: NonNullable<TfTensor['quantization']> } => (x.quantization ? { quantization: x.quantization } : {});

/** The input and the padding code with which windows come out as ONNX's; pads that SAME cannot say are added with zeros. */
export function padded(c: LowerContext, x: TfTensor, [height, width]: readonly [Axis, Axis]): { readonly x: TfTensor; readonly padding: number } {
  if (isValid(height) && isValid(width)) return { x, padding: padding.VALID };
  if (isSame(height) && isSame(width)) return { x, padding: padding.SAME };
  return { x: padImage(c, x, neededPads(height), neededPads(width)), padding: padding.VALID };
}

/** The result of an image operator as the node's output: (N, 1, W, C) back to (N, W, C) for signals. */
export function fromImage(c: LowerContext, image: TfTensor): TfTensor {
  const rank = c.outShape().length;
  return rank === 4 ? image : c.reshape(image, [image.shape[0]!, image.shape[2]!, image.shape[3]!]);
}

/** Shape in memory of the image that a windowed node computes. */
export function imageShape(c: LowerContext): (number | string | null)[] {
  const [n, channels, ...spatial] = c.outShape();
  return [n!, ...(spatial.length === 1 ? [1, spatial[0]!] : spatial), channels!];
}
