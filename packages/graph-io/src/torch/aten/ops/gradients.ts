/** Gradients of the core operators, for programs that hold a step of training; inference never calls them. */
import type { Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { row } from '../row.js';
import type { SymInt } from '../values.js';
import { reduce } from './reduce.js';

const sub = (c: AtenContext, a: Value, b: Value): Value => c.op('Sub', [a, b]);
const mul = (c: AtenContext, a: Value, b: Value): Value => c.op('Mul', [a, b]);
const sum = (c: AtenContext, x: Value, axes: readonly number[]): Value => (axes.length === 0 ? x : reduce(c, 'ReduceSum', x, axes, false));
const mean = (c: AtenContext, x: Value, axes: readonly number[]): Value => reduce(c, 'ReduceMean', x, axes, true);
const range = (from: number, to: number): number[] => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

/** dx = rstd · (g - mean(g) - x̂ · mean(g · x̂)) over `axes`: what a normalization passes back. */
function normalized(c: AtenContext, g: Value, hat: Value, rstd: Value, axes: readonly number[]): Value {
  return mul(c, rstd, sub(c, sub(c, g, mean(c, g, axes)), mul(c, hat, mean(c, mul(c, g, hat), axes))));
}

/** Each row of the gradient is added to the row that its index names. */
function embedding(c: AtenContext, gradient: Value, indices: Value, rows: SymInt, padding: SymInt): Value {
  const width = c.size(gradient, -1);
  const dtype = c.dtype(gradient);
  const flat = c.reshape(gradient, [-1, width]);
  const at = c.reshape(c.cast(indices, 'int64'), [-1, 1]);
  const kept = typeof padding === 'number' && padding < 0 ? flat : mul(c, flat, c.cast(c.op('Not', [c.op('Equal', [at, c.vector([padding])])]), dtype));
  const empty = c.op('Expand', [c.constant(dtype, 0), c.vector([rows, width])]);
  return c.op('ScatterND', [empty, at, kept], { reduction: 'add' });
}

/** Every window gives its gradient back in equal parts: the transposed convolution with a constant. */
function averagePool(c: AtenContext, gradient: Value, self: Value, kernel: readonly number[], step: readonly number[], padding: readonly number[], divisor: number): Value {
  const sizes = c.sizes(self);
  const [h, w] = [c.size(self, -2), c.size(self, -1)];
  const [oh, ow] = [c.size(gradient, -2), c.size(gradient, -1)];
  if (![h, w, oh, ow].every((size) => typeof size === 'number')) throw c.unsupported('images of unknown size');
  const stride = step.length === 0 ? kernel : step;
  const rest = [[h, oh], [w, ow]].map(([full, part], i) => (full as number) - (((part as number) - 1) * stride[i]! - 2 * padding[i]! + kernel[i]!));
  if (rest.some((size, i) => size < 0 || size >= stride[i]!)) throw c.unsupported('windows that reach beyond the image (ceil_mode)');
  const weight = c.constant(c.dtype(gradient), new Array<number>(c.count(kernel[0]! * kernel[1]!)).fill(1 / divisor), [1, 1, kernel[0]!, kernel[1]!]);
  const flat = c.reshape(gradient, [-1, 1, oh, ow]);
  return c.reshape(c.op('ConvTranspose', [flat, weight], { strides: stride, pads: [...padding, ...padding], output_padding: rest }), sizes);
}

export const gradients = [
  row('embedding_dense_backward(Tensor grad_output, Tensor indices, SymInt num_weights, SymInt padding_idx, bool scale_grad_by_freq)', (c, { grad_output, indices, num_weights, padding_idx, scale_grad_by_freq }) => {
    if (scale_grad_by_freq) throw c.unsupported('gradients divided by the number of times that an index occurs');
    return embedding(c, grad_output, indices, num_weights, padding_idx);
  }),
  row('native_layer_norm_backward(Tensor grad_out, Tensor input, SymInt[] normalized_shape, Tensor mean, Tensor rstd, Tensor? weight, Tensor? bias, bool[3] output_mask)',
    (c, { grad_out, input, normalized_shape, mean: average, rstd, weight, output_mask: [dx, dw, db] }) => {
      const rank = c.rank(input);
      const axes = range(rank - normalized_shape.length, rank);
      const others = range(0, rank - normalized_shape.length);
      const hat = mul(c, sub(c, input, average), rstd);
      return [dx ? normalized(c, weight ? mul(c, grad_out, weight) : grad_out, hat, rstd, axes) : null, dw ? sum(c, mul(c, grad_out, hat), others) : null, db ? sum(c, grad_out, others) : null];
    }),
  row('native_group_norm_backward(Tensor grad_out, Tensor input, Tensor mean, Tensor rstd, Tensor? weight, SymInt N, SymInt C, SymInt HxW, int group, bool[3] output_mask)',
    (c, { grad_out, input, mean: average, rstd, weight, N, C, HxW, group, output_mask: [dx, dw, db] }) => {
      if (typeof C !== 'number') throw c.unsupported('an unknown number of channels');
      // (batch, group, channel in group, pixel)
      const split = (x: Value): Value => c.reshape(x, [N, group, C / group, HxW]);
      const spread = (x: Value): Value => c.reshape(x, [N, group, 1, 1]);
      const hat = mul(c, sub(c, split(input), spread(average)), spread(rstd));
      const g = split(grad_out);
      const scaled = weight ? mul(c, g, c.reshape(weight, [1, group, C / group, 1])) : g;
      const channels = (x: Value): Value => c.reshape(sum(c, x, [0, 3]), [C]);
      return [dx ? c.reshape(normalized(c, scaled, hat, spread(rstd), [2, 3]), c.sizes(input)) : null, dw ? channels(mul(c, g, hat)) : null, db ? channels(g) : null];
    }),
  row('_adaptive_avg_pool2d_backward(Tensor grad_output, Tensor self)', (c, { grad_output, self }) => {
    const [h, w, oh, ow] = [c.size(self, -2), c.size(self, -1), c.size(grad_output, -2), c.size(grad_output, -1)];
    if (typeof h !== 'number' || typeof w !== 'number' || typeof oh !== 'number' || typeof ow !== 'number' || h % oh !== 0 || w % ow !== 0) throw c.unsupported('bins of different or unknown size');
    const kernel = [h / oh, w / ow];
    return averagePool(c, grad_output, self, kernel, kernel, [0, 0], kernel[0]! * kernel[1]!);
  }),
  row('avg_pool2d_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, int[2] padding, bool ceil_mode, bool count_include_pad, int? divisor_override)',
    (c, { grad_output, self, kernel_size, stride, padding, count_include_pad, divisor_override }) => {
      if (!count_include_pad && padding.some((size) => size !== 0)) throw c.unsupported('windows that are counted without their padding');
      return averagePool(c, grad_output, self, kernel_size, stride, padding, divisor_override ?? kernel_size[0]! * kernel_size[1]!);
    }),
  row('max_pool2d_with_indices_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, int[2] padding, int[2] dilation, bool ceil_mode, Tensor indices)',
    (c, { grad_output, self, indices }) => {
      const sizes = c.sizes(self);
      const front = sizes.slice(0, -2);
      const plane = (x: Value): Value => c.reshape(x, [...front, -1]);
      const empty = c.op('Expand', [c.constant(c.dtype(self), 0), c.vector([...front, c.product(sizes.slice(-2))])]);
      return c.reshape(c.op('ScatterElements', [empty, plane(indices), plane(grad_output)], { axis: front.length, reduction: 'add' }), sizes);
    }),
];

