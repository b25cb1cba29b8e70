/** Convolutions. Weights are laid out alike in both worlds: (out, in/groups, …), transposed (in, out/groups, …). */
import type { Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { row } from '../row.js';
import type { SymInt } from '../values.js';

interface Geometry {
  readonly stride: readonly SymInt[];
  readonly padding: readonly SymInt[] | string;
  readonly dilation: readonly SymInt[];
  readonly groups: SymInt;
  readonly transposed?: boolean;
  readonly outputPadding?: readonly SymInt[];
}

function known(c: AtenContext, size: SymInt): number {
  if (typeof size !== 'number') throw c.unsupported('a geometry that is computed in the graph');
  return size;
}

/** One number stands for all axes. */
function list(c: AtenContext, sizes: readonly SymInt[], count: number): number[] {
  const numbers = sizes.map((size) => known(c, size));
  return numbers.length === 1 ? new Array<number>(count).fill(numbers[0]!) : numbers;
}

export function convolution(c: AtenContext, input: Value, weight: Value, bias: Value | null, geometry: Geometry): Value {
  const axes = c.rank(weight) - 2;
  // Without a batch axis.
  if (c.rank(input) === axes + 1) return c.squeeze(convolution(c, c.unsqueeze(input, [0]), weight, bias, geometry), [0]);
  const strides = list(c, geometry.stride, axes);
  const dilations = list(c, geometry.dilation, axes);
  const kernel_shape = c.dims(weight).slice(2);
  if (!kernel_shape.every((size) => typeof size === 'number')) throw c.unsupported('a kernel of unknown size');
  const pads = padsOf(c, geometry.padding, kernel_shape, dilations);
  const attributes = { kernel_shape, strides, dilations, pads, group: known(c, geometry.groups) };
  const inputs = [input, weight, bias];
  if (!geometry.transposed) return c.op('Conv', inputs, attributes);
  return c.op('ConvTranspose', inputs, { ...attributes, output_padding: list(c, geometry.outputPadding ?? [0], axes) });
}

function padsOf(c: AtenContext, padding: Geometry['padding'], kernel: readonly number[], dilations: readonly number[]): number[] {
  if (padding === 'valid') return new Array<number>(kernel.length * 2).fill(0);
  if (typeof padding !== 'string') {
    const each = list(c, padding, kernel.length);
    return [...each, ...each];
  }
  if (padding !== 'same') throw c.unsupported(`the padding ${padding}`);
  // The odd one goes after.
  const totals = kernel.map((size, i) => dilations[i]! * (size - 1));
  return [...totals.map((total) => Math.floor(total / 2)), ...totals.map((total) => total - Math.floor(total / 2))];
}

export const convolutions = [
  ...['1d', '2d', '3d'].flatMap((rank) => [
    row(`conv${rank}.default(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=1, SymInt[1] padding=0, SymInt[1] dilation=1, SymInt groups=1)`,
      (c, { input, weight, bias, stride, padding, dilation, groups }) => convolution(c, input, weight, bias, { stride, padding, dilation, groups })),
    row(`conv${rank}.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=1, str padding=valid, SymInt[1] dilation=1, SymInt groups=1)`,
      (c, { input, weight, bias, stride, padding, dilation, groups }) => convolution(c, input, weight, bias, { stride, padding, dilation, groups })),
  ]),
  ...[['1d', 'default'], ['2d', 'input'], ['3d', 'input']].map(([rank, overload]) =>
    row(`conv_transpose${rank!}.${overload!}(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=1, SymInt[1] padding=0, SymInt[1] output_padding=0, SymInt groups=1, SymInt[1] dilation=1)`,
      (c, { input, weight, bias, stride, padding, output_padding, groups, dilation }) =>
        convolution(c, input, weight, bias, { stride, padding, dilation, groups, transposed: true, outputPadding: output_padding }))),
  row('convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups)',
    (c, { input, weight, bias, stride, padding, dilation, transposed, output_padding, groups }) =>
      convolution(c, input, weight, bias, { stride, padding, dilation, groups, transposed, outputPadding: output_padding })),
  row('_convolution.{default,deprecated}(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, Ignored benchmark=None, Ignored deterministic=None, Ignored cudnn_enabled=None, Ignored allow_tf32=None)',
    (c, { input, weight, bias, stride, padding, dilation, transposed, output_padding, groups }) =>
      convolution(c, input, weight, bias, { stride, padding, dilation, groups, transposed, outputPadding: output_padding })),
];
