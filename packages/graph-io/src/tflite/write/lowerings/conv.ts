/** Convolutions. */
import { denseOf, lazy, type Shape, type Tensor } from '@penjing/core';
import { reshaped } from '../emitter.js';
import type { LowerContext } from '../lower-context.js';
import type { Lowering } from '../lowering.js';
import { padding } from '../../schema.js';
import type { TfTensor } from '../tf-graph.js';
import { asImage, axesOf, fromImage, imageShape, padded, reachOf } from './window.js';

/** A kernel of a signal as that of an image of height 1. */
const asImageKernel = (tensor: Tensor): Tensor => (tensor.shape.length === 4 ? tensor : reshaped(tensor, [tensor.shape[0]!, tensor.shape[1]!, 1, tensor.shape[2]!]));

/** The bias, or zeros: most delegates want one. */
function biasOf(c: LowerContext, channels: number, x: TfTensor, weight: TfTensor): TfTensor {
  const given = c.has(2) ? c.constant(2) : denseOf('float32', [channels], Array<number>(channels).fill(0));
  if (!given) throw c.fail(`its bias ${c.value(2).name} is computed while the model runs`, 'Make the bias an initializer (fold constants first).');
  return c.bias(given, x, weight);
}

/** Shape of a kernel input; it must be a constant. */
function kernelShape(c: LowerContext): Shape {
  const tensor = c.constant(1);
  if (!tensor) throw c.fail(`its kernel ${c.value(1).name} is computed while the model runs`, 'Make the kernel an initializer (fold constants first).');
  return tensor.shape;
}

export const conv = {
  Conv: {
    layout: 'last',
    reads: [0],
    lower(c) {
      const kernel = kernelShape(c);
      const [channels, perGroup] = kernel as [number, number];
      const group = c.node.int('group', 1);
      const axes = axesOf(c, kernel.slice(2));
      const [height, width] = axes;
      const { x, padding: code } = padded(c, asImage(c, c.input(0)), axes);
      const strides = { padding: code, strideH: height.stride, strideW: width.stride, dilationHFactor: height.dilation, dilationWFactor: width.dilation, fusedActivationFunction: 0 };
      const depthwise = group > 1 && perGroup === 1;
      // (out, in, h, w) to (out, h, w, in), or to (1, h, w, out) when every channel has kernels of its own.
      const weight = c.weight(1, (tensor) => lazy.transpose(asImageKernel(tensor), depthwise ? [1, 2, 3, 0] : [0, 2, 3, 1]), depthwise ? 3 : 0);
      const bias = biasOf(c, channels, x, weight);
      const shape = imageShape(c);
      const image = depthwise
        ? c.emit('DEPTHWISE_CONV_2D', [x, weight, bias], { shape, options: { type: 'DepthwiseConv2DOptions', value: { ...strides, depthMultiplier: channels / group } } })
        : c.emit('CONV_2D', [x, weight, bias], { shape, options: { type: 'Conv2DOptions', value: strides } });
      c.set(fromImage(c, image));
    },
    note: '1 and 2 spatial axes, constant kernels',
  },
  ConvTranspose: {
    layout: 'last',
    reads: [0],
    lower(c) {
      const kernel = kernelShape(c);
      const group = c.node.int('group', 1);
      const channels = kernel[1]! * group;
      const [height, width] = axesOf(withoutAuto(c), kernel.slice(2));
      if (height.dilation !== 1 || width.dilation !== 1) throw c.fail('its kernel is dilated', 'Write the zeros between into the kernel itself.');
      const x = asImage(c, c.input(0));
      // (in, out, h, w) to (out, h, w, in). Groups are blocks of a kernel over all channels, zero elsewhere.
      const weight = c.weight(1, (tensor) => lazy.transpose(asImageKernel(group === 1 ? tensor : blocks(tensor, group)), [1, 2, 3, 0]));
      const bias = biasOf(c, channels, x, weight);
      const target = imageShape(c);
      const batch = x.shape[0]!;
      if (typeof batch !== 'number') throw c.fail('TRANSPOSE_CONV wants the batch size as a number', 'Give the inputs of the model fixed shapes (inputShapes).');
      const emit = (shape: readonly number[], code: number): TfTensor => c.emit('TRANSPOSE_CONV', [c.ints(shape), weight, x, bias], {
        shape, options: { type: 'TransposeConvOptions', value: { padding: code, strideH: height.stride, strideW: width.stride, fusedActivationFunction: 0 } },
      });
      const same = [height, width].every((axis) => {
        const total = (axis.size - 1) * axis.stride + axis.kernel - axis.out;
        return Math.ceil(axis.out / axis.stride) === axis.size && total >= 0 && Math.floor(total / 2) === axis.before;
      });
      if (same) return c.set(fromImage(c, emit(target as number[], padding.SAME)));
      // All that the kernel reaches, and then the part that the pads leave.
      const full = [height, width].map((axis) => Math.max((axis.size - 1) * axis.stride + reachOf(axis), axis.before + axis.out));
      const image = emit([batch, ...full, channels], padding.VALID);
      if (full[0] === height.out && full[1] === width.out) return c.set(fromImage(c, image));
      const begin = [0, height.before, width.before, 0];
      c.set(fromImage(c, c.emit('SLICE', [image, c.ints(begin), c.ints(target as number[])], { shape: target, options: { type: 'SliceOptions', value: {} } })));
    },
    note: 'no dilation, constant kernels',
  },
} satisfies Record<string, Lowering>;

/** The kernel of `group` groups as that of one: (in, out / group, …) as (in, out, …). */
function blocks(tensor: Tensor, group: number): Tensor {
  const [inputs, outputs, ...area] = tensor.shape as [number, number, ...number[]];
  const rows = inputs / group;
  return lazy.concat(Array.from({ length: group }, (_, i) => {
    const own = lazy.slice(tensor, [i * rows, 0, ...area.map(() => 0)], [rows, outputs, ...area]);
    const zeros = (count: number): Tensor[] => (count === 0 ? [] : [lazy.fill(tensor.dtype, [rows, count * outputs, ...area], 0)]);
    return lazy.concat([...zeros(i), own, ...zeros(group - 1 - i)], 1);
  }), 0);
}

/** `auto_pad` of a transposed convolution is about its output: pads are what the output lacks of the full reach. */
function withoutAuto(c: LowerContext): LowerContext {
  const auto = c.node.string('auto_pad', 'NOTSET');
  const hasOutput = c.node.ints('output_shape') !== undefined;
  if (!auto.startsWith('SAME') && !hasOutput) return c;
  throw c.fail('it gives its output size instead of pads', 'Export it with explicit pads.');
}
