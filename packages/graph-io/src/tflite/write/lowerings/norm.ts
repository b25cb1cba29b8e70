/** Normalization, written with means and products; batch normalization behind a convolution is gone before it comes to this. */
import { denseOf, type Dim, normalizeAxis, type DenseTensor } from '@penjing/core';
import { type LowerContext } from '../lower-context.js';
import type { Lowering } from '../lowering.js';
import { hasLayouts, permutationOf } from '../layouts.js';
import type { TfTensor } from '../tf-graph.js';
import { shapeOf } from '../lower-context.js';
import { reshaped } from '../emitter.js';
import { binary, formula } from './elementwise.js';
import { reduce } from './reduce.js';

/** A vector over channels, shaped to broadcast with an image in the order of the node. */
function overChannels(c: LowerContext, index: number, rank: number): TfTensor {
  const tensor = c.constant(index);
  if (!tensor) throw c.fail(`${c.value(index).name} must be a constant`);
  const channels = tensor.shape[0]!;
  const shape = permutationOf(rank, c.layout).map((axis) => (axis === 1 ? channels : 1));
  return c.weight(index, () => reshaped(tensor, shape));
}

/** (x - mean) / sqrt(variance + epsilon) over axes of ONNX's order, and what it takes: the mean and 1 / sqrt(variance + epsilon). */
function standard(c: LowerContext, x: TfTensor, axes: readonly number[], epsilon: number): { readonly normal: TfTensor; readonly mean: TfTensor; readonly factor: TfTensor } {
  const f = formula(c);
  const mean = reduce(c, 'MEAN', x, axes, true);
  const centred = f.sub(x, mean);
  const variance = reduce(c, 'MEAN', f.square(centred), axes, true);
  const factor = f.rsqrt(f.add(variance, epsilon));
  return { normal: f.mul(centred, factor), mean, factor };
}

const standardized = (c: LowerContext, x: TfTensor, axes: readonly number[], epsilon: number): TfTensor => standard(c, x, axes, epsilon).normal;

/** Keeps the zero vector zero. */
const SMALLEST = 1e-37;

const spatialAxes = (rank: number): number[] => Array.from({ length: rank - 2 }, (_, i) => i + 2);

export const norm = {
  BatchNormalization: {
    layout: 'any',
    reads: [0],
    lower(c) {
      const rank = c.rank(0);
      if (c.node.int('training_mode', 0) === 1) throw c.fail('it normalizes by the batch (training_mode)', 'Export the model for inference.');
      for (const i of [1, 2, 3, 4]) if (c.constant(i)?.kind !== 'dense') throw c.fail(`${c.value(i).name} must be a constant`, 'Fold constants first.');
      // y = x * a + b with a = scale / sqrt(variance + epsilon), b = bias - mean * a: `prepare` has loaded these small vectors.
      const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) => (c.constant(i) as DenseTensor).data as Float32Array) as [Float32Array, Float32Array, Float32Array, Float32Array];
      const epsilon = c.node.float('epsilon', 1e-5);
      const a = Array.from(scale, (value, i) => value / Math.sqrt(variance[i]! + epsilon));
      const b = Array.from(bias, (value, i) => value - mean[i]! * a[i]!);
      const shape = permutationOf(rank, c.layout).map((axis) => (axis === 1 ? a.length : 1));
      const f = formula(c);
      const x = c.input(0);
      c.set(f.add(f.mul(x, c.tensorConstant(denseOf('float32', shape, a))), c.tensorConstant(denseOf('float32', shape, b))));
    },
  },
  InstanceNormalization: {
    layout: 'any',
    reads: [0],
    lower(c) {
      const rank = c.rank(0);
      const f = formula(c);
      const normal = standardized(c, c.input(0), spatialAxes(rank), c.node.float('epsilon', 1e-5));
      c.set(f.add(f.mul(normal, overChannels(c, 1, rank)), overChannels(c, 2, rank)));
    },
  },
  GroupNormalization: {
    layout: (node) => (hasLayouts(shapeOf(node.output(), node).length) ? 'last' : 'first'),
    reads: [0],
    lower(c) {
      const rank = c.rank(0);
      const groups = c.node.int('num_groups')!;
      const channels = c.shape(0)[1];
      if (!hasLayouts(rank) || typeof channels !== 'number') throw c.fail('its input is no image');
      const x = c.input(0);
      const [batch, ...rest] = x.shape as [Dim, ...number[]];
      const pixels = rest.slice(0, -1).reduce((a, b) => a * b, 1);
      const perGroup = channels / groups;
      // (N, H, W, C) as (N, pixels, groups, channels of a group), normalized over the second and the last.
      const f = formula(c);
      const grouped = c.reshape(x, [batch, pixels, groups, perGroup]);
      const mean = (t: TfTensor): TfTensor => c.emit('MEAN', [t, c.ints([1, 3])], { shape: [batch, 1, groups, 1], options: { type: 'ReducerOptions', value: { keepDims: true } } });
      const centred = f.sub(grouped, mean(grouped));
      const normal = f.mul(centred, f.rsqrt(f.add(mean(f.square(centred)), c.node.float('epsilon', 1e-5))));
      const back = c.reshape(normal, x.shape);
      // Operator set 18 had one scale for each group, 21 one for each channel.
      const spread = (index: number): TfTensor => {
        const tensor = c.constant(index);
        if (tensor?.shape[0] === channels) return overChannels(c, index, rank);
        const values = c.numbers(index) ?? [];
        return c.tensorConstant(denseOf('float32', x.shape.map((_, i) => (i === rank - 1 ? channels : 1)), Array.from({ length: channels }, (_, i) => values[Math.floor(i / perGroup)]!)));
      };
      c.set(f.add(f.mul(back, spread(1)), spread(2)));
    },
  },
  LayerNormalization: {
    lower(c) {
      const rank = c.rank(0);
      const axis = normalizeAxis(c.node.int('axis', -1), rank);
      const axes = Array.from({ length: rank - axis }, (_, i) => axis + i);
      const { normal, mean, factor } = standard(c, c.input(0), axes, c.node.float('epsilon', 1e-5));
      const scaled = binary(c, 'MUL', normal, c.operand(1, rank));
      c.set(c.has(2) ? binary(c, 'ADD', scaled, c.operand(2, rank)) : scaled);
      c.set(mean, 1);
      c.set(factor, 2);
    },
  },
  RMSNormalization: {
    lower(c) {
      const rank = c.rank(0);
      const axis = normalizeAxis(c.node.int('axis', -1), rank);
      const f = formula(c);
      const x = c.input(0);
      const power = reduce(c, 'MEAN', f.square(x), Array.from({ length: rank - axis }, (_, i) => axis + i), true);
      c.set(binary(c, 'MUL', f.mul(x, f.rsqrt(f.add(power, c.node.float('epsilon', 1e-5)))), c.operand(1, rank)));
    },
  },
  LRN: {
    layout: 'last',
    lower(c) {
      const size = c.node.int('size')!;
      if (size % 2 === 0 || c.rank(0) !== 4) throw c.fail('TFLite normalizes over an odd number of channels of images');
      c.replace('LOCAL_RESPONSE_NORMALIZATION', [c.input(0)], {
        type: 'LocalResponseNormalizationOptions',
        value: { radius: (size - 1) / 2, alpha: c.node.float('alpha', 1e-4) / size, beta: c.node.float('beta', 0.75), bias: c.node.float('bias', 1) },
      });
    },
  },
  LpNormalization: {
    lower(c) {
      const f = formula(c);
      const x = c.input(0);
      const total = (terms: TfTensor): TfTensor => f.max(reduce(c, 'SUM', terms, [normalizeAxis(c.node.int('axis', -1), c.rank(0))], true), SMALLEST);
      c.set(f.div(x, c.node.int('p', 2) === 1 ? total(f.abs(x)) : f.sqrt(total(f.square(x)))));
    },
  },
} satisfies Record<string, Lowering>;
