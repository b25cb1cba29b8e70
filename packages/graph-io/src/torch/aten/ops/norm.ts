/** Normalizations. */
import type { DType, Value } from '@penjing/core';
import { PenjingError } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { row } from '../row.js';
import { plainNumber, type SymInt } from '../values.js';
import { reduce } from './reduce.js';

/** A missing scale is 1, a missing bias 0. */
function filled(c: AtenContext, given: Value | null, dtype: DType, shape: readonly SymInt[], value: number): Value {
  if (given) return given;
  return c.op('Expand', [c.constant(dtype, value), c.vector(shape)]);
}

function constantOf(c: AtenContext, given: Value | null, dtype: DType, shape: readonly SymInt[], value: number): Value {
  if (given || !shape.every((size) => typeof size === 'number')) return filled(c, given, dtype, shape, value);
  const count = shape.reduce((a, b) => a * b, 1);
  if (count > 1 << 16) return filled(c, given, dtype, shape, value);
  return c.constant(dtype, new Array<number>(count).fill(value), shape);
}

/** The error for an operator that behaves as in training. */
export function training(c: AtenContext, what: string): PenjingError {
  return new PenjingError('E_TRAINING', `${c.operator} is in training mode: ${what}`, {
    hint: 'The model was exported in train() mode; call model.eval() before torch.export.export.',
    details: { operator: c.operator },
  });
}

/** Outputs: normalized, mean, inverse deviation. */
export function layerNorm(c: AtenContext, input: Value, shape: readonly SymInt[], weight: Value | null, bias: Value | null, eps: number): Value[] {
  const scale = constantOf(c, weight, c.dtype(input), shape, 1);
  return c.ops('LayerNormalization', [input, scale, bias], { axis: -shape.length, epsilon: c.float(eps) }, { outputCount: 3 });
}

/** By the root of the mean square; the operator of its own comes with opset 23. */
function rmsNorm(c: AtenContext, input: Value, shape: readonly SymInt[], weight: Value | null, eps: number | null): Value {
  const dtype = c.dtype(input);
  const epsilon = eps ?? (dtype === 'float64' ? 2 ** -52 : dtype === 'float16' ? 2 ** -10 : dtype === 'bfloat16' ? 2 ** -7 : 2 ** -23);
  if (c.opset >= 23) return c.op('RMSNormalization', [input, constantOf(c, weight, dtype, shape, 1)], { axis: -shape.length, epsilon: c.float(epsilon) });
  const rank = c.rank(input);
  const square = reduce(c, 'ReduceMean', c.op('Mul', [input, input]), c.axes(shape.map((_, i) => -1 - i), rank), true);
  const root = c.op('Sqrt', [c.op('Add', [square, c.constant(dtype, epsilon)])]);
  const normal = c.op('Div', [input, root]);
  return weight ? c.op('Mul', [normal, weight]) : normal;
}

/** With stored statistics. */
function batchNorm(c: AtenContext, input: Value, weight: Value | null, bias: Value | null, mean: Value, variance: Value, eps: number): Value {
  const channels = [c.size(input, 1)];
  const dtype = c.dtype(mean);
  return c.op('BatchNormalization', [input, constantOf(c, weight, dtype, channels, 1), constantOf(c, bias, dtype, channels, 0), mean, variance], { epsilon: c.float(eps) });
}

/** What PyTorch gives as statistics of the batch where it computed none: tensors without elements. */
const nothing = (c: AtenContext): [Value, Value] => {
  const empty = c.constant('float32', [], [0]);
  return [empty, empty];
};

function instanceNorm(c: AtenContext, input: Value, weight: Value | null, bias: Value | null, eps: number): Value {
  const channels = [c.size(input, 1)];
  const dtype = c.dtype(input);
  return c.op('InstanceNormalization', [input, constantOf(c, weight, dtype, channels, 1), constantOf(c, bias, dtype, channels, 0)], { epsilon: c.float(eps) });
}

/** Each group is one instance: (n, groups, rest). ONNX Runtime has no kernel of its own for GroupNormalization. */
function groupNorm(c: AtenContext, input: Value, groups: number, weight: Value | null, bias: Value | null, eps: number): Value {
  const sizes = c.sizes(input);
  const dtype = c.dtype(input);
  const grouped = c.reshape(input, [sizes[0]!, groups, -1]);
  const ones = c.constant(dtype, new Array<number>(c.count(groups)).fill(1));
  const zeros = c.constant(dtype, new Array<number>(c.count(groups)).fill(0));
  const normal = c.reshape(c.op('InstanceNormalization', [grouped, ones, zeros], { epsilon: c.float(eps) }), sizes);
  const perChannel = (value: Value): Value => c.reshape(value, [-1, ...new Array<number>(sizes.length - 2).fill(1)]);
  const scaled = weight ? c.op('Mul', [normal, perChannel(weight)]) : normal;
  return bias ? c.op('Add', [scaled, perChannel(bias)]) : scaled;
}

export const norms = [
  row('layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, bool cudnn_enable=True)',
    (c, { input, normalized_shape, weight, bias, eps }) => layerNorm(c, input, normalized_shape, weight, bias, eps)[0]!),
  row('native_layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, Tensor? bias, float eps)',
    (c, { input, normalized_shape, weight, bias, eps }) => layerNorm(c, input, normalized_shape, weight, bias, eps)),
  row('rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None)',
    (c, { input, normalized_shape, weight, eps }) => rmsNorm(c, input, normalized_shape, weight, eps)),
  row('_fused_rms_norm(Tensor input, int[] normalized_shape, Tensor? weight, float? eps)',
    (c, { input, normalized_shape, weight, eps }) => [rmsNorm(c, input, normalized_shape, weight, eps), null]),
  row('batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps, bool cudnn_enabled)',
    (c, { input, weight, bias, running_mean, running_var, training: inTraining, eps }) => {
      if (inTraining || !running_mean || !running_var) {
        if (running_mean) throw training(c, 'it normalizes by the statistics of the batch and updates its own');
        return batchStatistics(c, input, weight, bias, eps)[0]!;
      }
      return batchNorm(c, input, weight, bias, running_mean, running_var, eps);
    }),
  row('_native_batch_norm_legit_no_training(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, float momentum, float eps)',
    (c, { input, weight, bias, running_mean, running_var, eps }) => [batchNorm(c, input, weight, bias, running_mean, running_var, eps), ...nothing(c)]),
  row('_native_batch_norm_legit.no_stats(Tensor input, Tensor? weight, Tensor? bias, bool training, float momentum, float eps)',
    (c, { input, weight, bias, eps }) => batchStatistics(c, input, weight, bias, eps)),
  row('_native_batch_norm_legit.default(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, bool training, float momentum, float eps)',
    (c, { input, weight, bias, running_mean, running_var, training: inTraining, eps }) => {
      if (inTraining) throw training(c, 'it normalizes by the statistics of the batch and updates its own');
      return [batchNorm(c, input, weight, bias, running_mean, running_var, eps), ...nothing(c)];
    }),
  row('_native_batch_norm_legit_functional(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, bool training, float momentum, float eps)',
    (c, { input, weight, bias, running_mean, running_var, training: inTraining, eps }) => {
      if (inTraining) throw training(c, 'it normalizes by the statistics of the batch and updates its own');
      return [batchNorm(c, input, weight, bias, running_mean, running_var, eps), ...nothing(c), running_mean, running_var];
    }),
  row('native_batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps)',
    (c, { input, weight, bias, running_mean, running_var, training: inTraining, eps }) => {
      if (inTraining || !running_mean || !running_var) throw training(c, 'it normalizes by the statistics of the batch');
      return [batchNorm(c, input, weight, bias, running_mean, running_var, eps), ...nothing(c)];
    }),
  row('instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool use_input_stats, float momentum, float eps, bool cudnn_enabled)',
    (c, { input, weight, bias, running_mean, running_var, use_input_stats, eps }) => (use_input_stats || !running_mean || !running_var
      ? instanceNorm(c, input, weight, bias, eps)
      : batchNorm(c, input, weight, bias, running_mean, running_var, eps))),
  row('group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, bool cudnn_enabled=True)',
    (c, { input, num_groups, weight, bias, eps }) => groupNorm(c, input, num_groups, weight, bias, eps)),
  row('native_group_norm(Tensor input, Tensor? weight, Tensor? bias, SymInt N, SymInt C, SymInt HxW, int group, float eps)',
    (c, { input, weight, bias, group, eps }) => groupStatistics(c, input, group, weight, bias, eps)),
  row('local_response_norm(Tensor input, int size, float alpha=1e-4, float beta=0.75, float k=1)', (c, { input, size, alpha, beta, k }) =>
    c.op('LRN', [input], { size, alpha: c.float(alpha), beta: c.float(beta), bias: c.float(k) })),
  row('linalg_norm(Tensor self, Scalar? ord=None, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None)', (c, { self, ord, dim, keepdim }) => {
    if (ord !== null && plainNumber(ord) !== 2) throw c.unsupported('a matrix norm');
    return reduce(c, 'ReduceL2', self, dim === null ? c.axes(null, c.rank(self)) : c.axes(dim, c.rank(self)), keepdim);
  }),
];

/** Mean and inverse deviation over `axes`, kept as axes of size 1. */
function statistics(c: AtenContext, x: Value, axes: readonly number[], eps: number): [centred: Value, mean: Value, inverse: Value] {
  const mean = reduce(c, 'ReduceMean', x, axes, true);
  const centred = c.op('Sub', [x, mean]);
  const variance = reduce(c, 'ReduceMean', c.op('Mul', [centred, centred]), axes, true);
  return [centred, mean, c.op('Reciprocal', [c.op('Sqrt', [c.op('Add', [variance, c.constant(c.dtype(x), eps)])])])];
}

/** Batch norm without stored statistics: by those of the batch, in evaluation too. */
function batchStatistics(c: AtenContext, x: Value, weight: Value | null, bias: Value | null, eps: number): Value[] {
  const rank = c.rank(x);
  const [centred, mean, inverse] = statistics(c, x, c.axes(null, rank).filter((axis) => axis !== 1), eps);
  const perChannel = (value: Value): Value => c.reshape(value, [-1, ...new Array<number>(rank - 2).fill(1)]);
  let y = c.op('Mul', [centred, inverse]);
  if (weight) y = c.op('Mul', [y, perChannel(weight)]);
  if (bias) y = c.op('Add', [y, perChannel(bias)]);
  return [y, c.reshape(mean, [-1]), c.reshape(inverse, [-1])];
}

/** The statistics, (n, groups), are computed apart and fall away when nothing reads them. */
function groupStatistics(c: AtenContext, input: Value, groups: number, weight: Value | null, bias: Value | null, eps: number): Value[] {
  const n = c.size(input, 0);
  const [, mean, inverse] = statistics(c, c.reshape(input, [n, groups, -1]), [2], eps);
  return [groupNorm(c, input, groups, weight, bias, eps), c.squeeze(mean, [2]), c.squeeze(inverse, [2])];
}
