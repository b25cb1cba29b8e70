/** Pooling, fixed and adaptive. */
import type { Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { isFloat } from '../promote.js';
import { row } from '../row.js';
import type { SymInt } from '../values.js';
import { reduce } from './reduce.js';

interface Window {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[];
  readonly ceil: boolean;
}

const fill = (list: readonly number[], count: number): number[] => (list.length === 1 ? new Array<number>(count).fill(list[0]!) : [...list]);

/** Runs `build` on a tensor with a batch axis. */
function batched(c: AtenContext, x: Value, axes: number, build: (x: Value) => Value[]): Value[] {
  if (c.rank(x) === axes + 2) return build(x);
  return build(c.unsqueeze(x, [0])).map((value) => c.squeeze(value, [0]));
}

function geometry({ kernel, stride, padding, ceil }: Window, axes: number): Record<string, number | number[]> {
  const size = fill(kernel, axes);
  const pads = fill(padding, axes);
  return { kernel_shape: size, strides: stride.length === 0 ? size : fill(stride, axes), pads: [...pads, ...pads], ceil_mode: Number(ceil) };
}

function averagePool(c: AtenContext, x: Value, axes: number, window: Window, countPads: boolean, divisor: number | null): Value {
  return batched(c, x, axes, (batch) => {
    const attributes = geometry(window, axes);
    const include = divisor !== null || countPads;
    const pooled = c.op('AveragePool', [batch], { ...attributes, count_include_pad: Number(include) });
    if (divisor === null) return [pooled];
    if (window.ceil) throw c.unsupported('divisor_override with ceil_mode');
    const count = (attributes['kernel_shape'] as number[]).reduce((a, b) => a * b, 1);
    return [c.op('Mul', [pooled, c.constant(c.dtype(pooled), count / divisor)])];
  })[0]!;
}

/** Values and, in each plane, the position of the largest element. ONNX counts positions through the whole tensor. */
function maxPool(c: AtenContext, x: Value, axes: number, window: Window, dilation: readonly number[]): Value[] {
  const small = !isFloat(c.dtype(x));
  return batched(c, small ? c.cast(x, 'float32') : x, axes, (batch) => {
    const [values, indices] = c.ops('MaxPool', [batch], { ...geometry(window, axes), dilations: fill(dilation, axes) }, { outputCount: 2 });
    const plane = c.product(c.sizes(batch).slice(2));
    const inPlane = c.op('Mod', [indices!, typeof plane === 'number' ? c.int64(plane) : c.scalarOf(plane, 'int64')]);
    return [small ? c.cast(values!, c.dtype(x)) : values!, inPlane];
  });
}

/** Bin i covers [floor(i·n/m), ceil((i+1)·n/m)). */
const bins = (from: number, to: number): (readonly [number, number])[] =>
  Array.from({ length: to }, (_, i) => [Math.floor((i * from) / to), Math.ceil(((i + 1) * from) / to)] as const);

function adaptive(c: AtenContext, x: Value, output: readonly SymInt[], kind: 'Average' | 'Max'): Value {
  const axes = output.length;
  const rank = c.rank(x);
  const at = output.map((_, i) => rank - axes + i);
  const sizes = at.map((axis) => c.size(x, axis));
  if (output.every((size) => size === 1)) return c.op(kind === 'Average' ? 'ReduceMean' : 'ReduceMax', [x, c.int64(at)], { keepdims: 1 });
  const numbers = [...sizes, ...output];
  const same = output.every((size, i) => size === sizes[i] || (size !== 1 && typeof size !== 'number' && c.dim(size) !== null && c.dim(size) === c.dim(sizes[i]!)));
  if (same) return x;
  if (!numbers.every((size) => typeof size === 'number')) throw c.unsupported('an adaptive pool over axes of unknown size', 'Export with fixed image sizes.');
  const from = sizes as number[];
  const to = output as number[];
  if (from.every((size, i) => size % to[i]! === 0)) {
    const kernel = from.map((size, i) => size / to[i]!);
    return batched(c, x, axes, (batch) => [c.op(`${kind}Pool`, [batch], { kernel_shape: kernel, strides: kernel })])[0]!;
  }
  // Bins of different size: one axis after the other.
  return at.reduce((value, axis, i) => {
    if (to[i]! > 256) throw c.unsupported('more than 256 bins of different size');
    const cuts = bins(from[i]!, to[i]!);
    return c.concat(cuts.map(([start, end]) => reduce(c, kind === 'Average' ? 'ReduceMean' : 'ReduceMax', c.slice(value, axis, start, end), [axis], true)), axis);
  }, x);
}

const ranks = [1, 2, 3] as const;

export const pools = [
  ...ranks.map((axes) => row(`avg_pool${axes}d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None)`,
    (c, { self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override }) =>
      averagePool(c, self, axes, { kernel: kernel_size, stride, padding, ceil: ceil_mode }, count_include_pad, divisor_override))),
  ...ranks.map((axes) => row(`max_pool${axes}d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=0, int[1] dilation=1, bool ceil_mode=False)`,
    (c, { self, kernel_size, stride, padding, dilation, ceil_mode }) => maxPool(c, self, axes, { kernel: kernel_size, stride, padding, ceil: ceil_mode }, dilation)[0]!)),
  ...ranks.map((axes) => row(`max_pool${axes}d_with_indices(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=0, int[1] dilation=1, bool ceil_mode=False)`,
    (c, { self, kernel_size, stride, padding, dilation, ceil_mode }) => maxPool(c, self, axes, { kernel: kernel_size, stride, padding, ceil: ceil_mode }, dilation))),
  ...ranks.flatMap((axes) => ['', '_'].map((prefix) => row(`${prefix}adaptive_avg_pool${axes}d(Tensor self, SymInt[${axes}] output_size)`,
    (c, { self, output_size }) => adaptive(c, self, output_size, 'Average')))),
  ...ranks.map((axes) => row(`adaptive_max_pool${axes}d(Tensor self, SymInt[${axes}] output_size)`,
    // The positions would need a search per bin; no exported network was seen to use them.
    (c, { self, output_size }) => [adaptive(c, self, output_size, 'Max'), null])),
];
