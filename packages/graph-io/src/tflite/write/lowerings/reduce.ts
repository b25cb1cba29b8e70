/** Reductions, soft maxima, and the choice of elements by size. */
import { type Node, normalizeAxis } from '@penjing/core';
import type { BuiltinOperator } from '../../operators-schema.js';
import type { LayoutWish } from '../assign-layouts.js';
import { hasLayouts, type Layout, permutationOf, physicalShape } from '../layouts.js';
import { type LowerContext, shapeOf } from '../lower-context.js';
import { numbersOf } from '../numbers.js';
import type { Lowering } from '../lowering.js';
import type { TfTensor } from '../tf-graph.js';
import { type Formula, formula } from './elementwise.js';

const keepsDims = (node: Node): boolean => node.int('keepdims', 1) === 1;

/** Axes of a reduction: attribute, constant input, or all (none with `noop_with_empty_axes`). */
function reducedAxes(node: Node, rank: number): number[] {
  const tensor = node.input(1)?.tensor;
  const given = node.ints('axes') ?? (tensor?.kind === 'dense' ? numbersOf(tensor as Parameters<typeof numbersOf>[0]) : undefined);
  if (given && given.length > 0) return given.map((axis) => normalizeAxis(axis, rank));
  return node.int('noop_with_empty_axes', 0) === 1 ? [] : Array.from({ length: rank }, (_, i) => i);
}

/** The same of the node that is lowered; throws when they are computed. */
function knownAxes(c: LowerContext): number[] {
  if (c.has(1) && !c.constant(1)) throw c.fail('its axes are computed while the model runs');
  return reducedAxes(c.node, c.rank(0));
}

/** Any order when the axes that are left come out in ONNX's order either way. */
function wishWithout(axes: readonly number[], rank: number, keeps: boolean): LayoutWish {
  if (!hasLayouts(rank)) return 'first';
  if (keeps) return 'any';
  const left = permutationOf(rank, 'last').filter((axis) => !axes.includes(axis));
  return left.length < 3 && left.every((axis, i) => i === 0 || axis > left[i - 1]!) ? 'any' : 'first';
}

const reduceWish = (node: Node): LayoutWish => {
  const rank = shapeOf(node.input(0)!, node).length;
  return wishWithout(reducedAxes(node, rank), rank, keepsDims(node));
};

/** Emits a reduction over axes of ONNX's order. */
export function reduce(c: LowerContext, type: BuiltinOperator, x: TfTensor, axes: readonly number[], keepDims: boolean, layout: Layout = c.layout): TfTensor {
  const rank = x.shape.length;
  const perm = permutationOf(rank, layout);
  const physical = axes.map((axis) => perm.indexOf(axis)).sort((a, b) => a - b);
  const shape = keepDims ? x.shape.map((dim, i) => (physical.includes(i) ? 1 : dim)) : x.shape.filter((_, i) => !physical.includes(i));
  return c.emit(type, [x, c.ints(physical)], { shape, dtype: x.dtype, options: { type: 'ReducerOptions', value: { keepDims } } });
}

const reduction = (type: BuiltinOperator, before?: (f: Formula, x: TfTensor) => TfTensor, after?: (f: Formula, x: TfTensor) => TfTensor): Lowering => ({
  layout: reduceWish,
  reads: [0],
  lower(c) {
    const f = formula(c);
    const x = c.input(0);
    const axes = knownAxes(c);
    const mapped = before ? before(f, x) : x;
    const reduced = axes.length === 0 ? mapped : reduce(c, type, mapped, axes, keepsDims(c.node));
    const result = after ? after(f, reduced) : reduced;
    c.set(result === x ? c.reshape(x, x.shape) : result);
  },
});

/** The axis of a soft maximum, in ONNX's order. */
const softAxis = (node: Node, rank: number): number => normalizeAxis(node.int('axis', -1), rank);

const soft = (type: 'SOFTMAX' | 'LOG_SOFTMAX'): Lowering => ({
  layout(node) {
    const rank = shapeOf(node.input(0)!, node).length;
    // TFLite normalizes along the last axis only: over channels that is free when they are last.
    return hasLayouts(rank) && softAxis(node, rank) === 1 ? 'last' : 'first';
  },
  lower(c) {
    const x = c.input(0);
    const rank = c.rank(0);
    const emit = (input: TfTensor): TfTensor => c.emit(type, [input], {
      shape: input.shape,
      options: type === 'SOFTMAX' ? { type: 'SoftmaxOptions', value: { beta: 1 } } : { type: 'LogSoftmaxOptions', value: {} },
    });
    // Before operator set 13 it meant something else; `prepare` has said it in today's terms.
    const axis = c.axis(c.node.int('axis', -1), rank);
    if (axis === rank - 1) return c.set(emit(x));
    const perm = [...Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis), axis];
    const inverse = perm.map((_, i) => perm.indexOf(i));
    c.set(c.transpose(emit(c.transpose(x, perm)), inverse));
  },
});

/** The same for int64, for which only TOPK_V2 has a kernel. */
function first(c: LowerContext, type: 'ARG_MAX' | 'ARG_MIN', x: TfTensor, axis: number): TfTensor {
  const perm = [...x.shape.map((_, i) => i).filter((i) => i !== axis), axis];
  const turned = c.transpose(type === 'ARG_MIN' ? formula(c).neg(x) : x, perm);
  const rows = turned.shape.slice(0, -1);
  const [, indices] = c.emitMany('TOPK_V2', [turned, c.ints([1], [])], [[...rows, 1], [...rows, 1]], ['int64', 'int32'], { type: 'TopKV2Options', value: {} });
  const wide = c.emit('CAST', [indices!], { dtype: 'int64', shape: [...rows, 1], options: { type: 'CastOptions', value: { inDataType: 2, outDataType: 4 } } });
  return c.reshape(wide, rows);
}

const argument = (type: 'ARG_MAX' | 'ARG_MIN'): Lowering => ({
  layout(node) {
    const rank = shapeOf(node.input(0)!, node).length;
    return wishWithout([normalizeAxis(node.int('axis', 0), rank)], rank, keepsDims(node));
  },
  lower(c) {
    if (c.node.int('select_last_index', 0) === 1) throw c.fail('it asks for the last of equal elements (select_last_index)');
    const x = c.input(0);
    const axis = c.axis(c.node.int('axis', 0), c.rank(0));
    const shape = x.shape.filter((_, i) => i !== axis);
    const found = x.dtype === 'int64' ? first(c, type, x, axis) : c.emit(type, [x, c.ints([axis], [])], {
      shape, dtype: 'int64', options: { type: type === 'ARG_MAX' ? 'ArgMaxOptions' : 'ArgMinOptions', value: { outputType: 4 } },
    });
    c.set(keepsDims(c.node) ? c.reshape(found, physicalShape(c.outShape(), c.layout)) : found);
  },
});

export const reductions = {
  ReduceMean: reduction('MEAN'),
  ReduceSum: reduction('SUM'),
  ReduceMax: reduction('REDUCE_MAX'),
  ReduceMin: reduction('REDUCE_MIN'),
  ReduceProd: reduction('REDUCE_PROD'),
  ReduceL1: reduction('SUM', (f, x) => f.abs(x)),
  ReduceL2: reduction('SUM', (f, x) => f.square(x), (f, x) => f.sqrt(x)),
  ReduceSumSquare: reduction('SUM', (f, x) => f.square(x)),
  ReduceLogSum: reduction('SUM', undefined, (f, x) => f.log(x)),
  ReduceLogSumExp: {
    layout: reduceWish,
    reads: [0],
    lower(c) {
      const f = formula(c);
      const x = c.input(0);
      const axes = knownAxes(c);
      if (axes.length === 0) return c.set(c.reshape(x, x.shape));
      // Around the largest, which an infinite one must not make NaN.
      const largest = f.min(f.max(reduce(c, 'REDUCE_MAX', x, axes, true), -3.4e38), 3.4e38);
      const sum = f.add(f.log(reduce(c, 'SUM', f.exp(f.sub(x, largest)), axes, true)), largest);
      c.set(keepsDims(c.node) ? sum : c.reshape(sum, physicalShape(c.outShape(), c.layout)));
    },
  },
  Softmax: soft('SOFTMAX'),
  LogSoftmax: soft('LOG_SOFTMAX'),
  ArgMax: argument('ARG_MAX'),
  ArgMin: argument('ARG_MIN'),
  TopK: {
    reads: [0],
    lower(c) {
      const rank = c.rank(0);
      const f = formula(c);
      const axis = normalizeAxis(c.node.int('axis', -1), rank);
      const count = c.numbers(1)?.[0] ?? c.node.int('k');
      if (count === undefined) throw c.fail('it has no k');
      // TFLite looks for the largest along the last axis.
      const smallest = c.node.int('largest', 1) !== 1;
      const perm = [...Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis), axis];
      const back = perm.map((_, i) => perm.indexOf(i));
      const turned = c.transpose(c.input(0), perm);
      const shape = [...turned.shape.slice(0, -1), count];
      const [values, indices] = c.emitMany('TOPK_V2', [smallest ? f.neg(turned) : turned, c.ints([count], [])], [shape, shape], [c.dtype(0), 'int32'], { type: 'TopKV2Options', value: {} }) as [TfTensor, TfTensor];
      c.set(c.transpose(smallest ? f.neg(values) : values, back), 0);
      if (c.node.outputs[1]?.name) {
        c.set(c.transpose(c.emit('CAST', [indices], { dtype: 'int64', shape, options: { type: 'CastOptions', value: { inDataType: 2, outDataType: 4 } } }), back), 1);
      }
    },
  },
  CumSum: {
    reads: [0],
    lower(c) {
      const [axis] = c.numbers(1)!;
      c.set(c.emit('CUMSUM', [c.input(0), c.ints([normalizeAxis(axis!, c.rank(0))], [])], {
        options: { type: 'CumsumOptions', value: { exclusive: c.node.int('exclusive', 0) === 1, reverse: c.node.int('reverse', 0) === 1 } },
      }));
    },
  },
} satisfies Record<string, Lowering>;
