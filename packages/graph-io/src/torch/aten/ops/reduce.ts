/** Reductions, sorting, cumulative operations. */
import { type DType, dtypes, type Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { isFloat } from '../promote.js';
import { row, rowsOf } from '../row.js';
import { plainNumber, type Scalar, type SymInt } from '../values.js';
import { floats } from './elementwise.js';
import { wide } from './arithmetic.js';

/** No axes means all of them. */
function axesOf(c: AtenContext, x: Value, dim: readonly number[] | null): number[] {
  const rank = c.rank(x);
  return dim === null || dim.length === 0 ? c.axes(null, rank) : rank === 0 ? [] : c.axes(dim, rank);
}

/** A reduction with its axes as an input; a tensor without axes is its own reduction. */
export function reduce(c: AtenContext, type: string, x: Value, axes: readonly number[], keepdim: boolean): Value {
  if (c.rank(x) === 0) return x;
  const all = axes.length === c.rank(x);
  return c.op(type, [x, all ? null : c.int64(axes)], { keepdims: Number(keepdim) });
}

/** Sums and products of integers are int64. */
function summed(c: AtenContext, type: string, x: Value, dim: readonly number[] | null, keepdim: boolean, dtype: DType | null): Value {
  const own = c.dtype(x);
  const to = dtype ?? (isFloat(own) ? own : 'int64');
  return reduce(c, type, c.cast(x, to), axesOf(c, x, dim), keepdim);
}

function mean(c: AtenContext, x: Value, dim: readonly number[] | null, keepdim: boolean, dtype: DType | null): Value {
  return reduce(c, 'ReduceMean', dtype ? c.cast(x, dtype) : x, axesOf(c, x, dim), keepdim);
}

/** Largest and smallest of bool go through int32. */
function extreme(c: AtenContext, type: string, x: Value, dim: readonly number[] | null, keepdim: boolean): Value {
  const dtype = c.dtype(x);
  const small = dtype === 'bool' || (!isFloat(dtype) && dtypes[dtype].bits === 16);
  return c.cast(reduce(c, type, small ? c.cast(x, 'int32') : x, axesOf(c, x, dim), keepdim), dtype);
}

function arg(c: AtenContext, type: string, self: Value, dim: number | null, keepdim: boolean): Value {
  const x = c.dtype(self) === 'bool' ? c.cast(self, 'int32') : self;
  const rank = c.rank(x);
  if (rank === 0) return c.int64(0);
  if (dim !== null) return c.op(type, [x], { axis: c.axis(dim, rank), keepdims: Number(keepdim) });
  const flat = c.op(type, [c.reshape(x, [-1])], { axis: 0, keepdims: 0 });
  return keepdim ? c.reshape(flat, new Array<number>(rank).fill(1)) : flat;
}

/** Values and positions along one axis. */
function withIndices(c: AtenContext, kind: 'Max' | 'Min', self: Value, dim: number, keepdim: boolean): Value[] {
  return [extreme(c, `Reduce${kind}`, self, [dim], keepdim), arg(c, `Arg${kind}`, self, dim, keepdim)];
}

const anyOf = (c: AtenContext, self: Value, dim: readonly number[] | null, keepdim: boolean): Value =>
  c.cast(reduce(c, 'ReduceMax', c.cast(c.cast(self, 'bool'), 'int32'), axesOf(c, self, dim), keepdim), 'bool');
const allOf = (c: AtenContext, self: Value, dim: readonly number[] | null, keepdim: boolean): Value =>
  c.cast(reduce(c, 'ReduceMin', c.cast(c.cast(self, 'bool'), 'int32'), axesOf(c, self, dim), keepdim), 'bool');

/** Mean of squared distances, the count lowered by `correction`. */
export function variance(c: AtenContext, self: Value, dim: readonly number[] | null, correction: number, keepdim: boolean): Value {
  const x = floats(c, self);
  const axes = axesOf(c, x, dim);
  const centred = c.op('Sub', [x, reduce(c, 'ReduceMean', x, axes, true)]);
  const squares = c.op('Mul', [centred, centred]);
  if (correction === 0) return reduce(c, 'ReduceMean', squares, axes, keepdim);
  const sum = reduce(c, 'ReduceSum', squares, axes, keepdim);
  const count = c.product(axes.map((axis) => c.size(x, axis)));
  const dtype = c.dtype(x);
  const divisor = typeof count === 'number'
    ? c.constant(dtype, Math.max(0, count - correction))
    : c.op('Max', [c.op('Sub', [c.scalarOf(count, dtype), c.constant(dtype, correction)]), c.constant(dtype, 0)]);
  return c.op('Div', [sum, divisor]);
}

const correctionOf = (c: AtenContext, correction: Scalar | null): number => {
  const value = correction === null ? 1 : plainNumber(correction);
  if (value === undefined) throw c.unsupported('the correction is computed in the graph');
  return value;
};

const sqrt = (c: AtenContext, x: Value): Value => c.op('Sqrt', [x]);
const asIs = (_: AtenContext, x: Value): Value => x;

/** var, std and their pairs with the mean, in each of PyTorch's overloads. */
const spreads = Object.entries({ var: asIs, std: sqrt }).flatMap(([name, finish]) => [
  row(`${name}.default(Tensor self, bool unbiased=True)`, (c, { self, unbiased }) => finish(c, variance(c, self, null, Number(unbiased), false))),
  row(`${name}.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False)`, (c, { self, dim, unbiased, keepdim }) =>
    finish(c, variance(c, self, dim, Number(unbiased), keepdim))),
  row(`${name}.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False)`, (c, { self, dim, correction, keepdim }) =>
    finish(c, variance(c, self, dim, correctionOf(c, correction), keepdim))),
  row(`${name}_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False)`, (c, { self, dim, correction, keepdim }) =>
    [finish(c, variance(c, self, dim, correctionOf(c, correction), keepdim)), mean(c, self, dim, keepdim, null)]),
]);

/** Sizes of 0-dim tensors are 1 for sorting. */
function topk(c: AtenContext, self: Value, k: SymInt, dim: number, largest: boolean): Value[] {
  const rank = c.rank(self);
  const x = rank === 0 ? c.unsqueeze(self, [0]) : self;
  const dtype = c.dtype(x);
  const readable = dtype === 'bool' || (!isFloat(dtype) && dtypes[dtype].bits < 32) ? c.cast(x, 'int32') : x;
  const [values, indices] = c.ops('TopK', [readable, c.vector([k])], { axis: c.axis(dim, Math.max(rank, 1)), largest: Number(largest), sorted: 1 }, { outputCount: 2 });
  const cast = c.cast(values!, dtype);
  return rank === 0 ? [c.squeeze(cast, [0]), c.squeeze(indices!, [0])] : [cast, indices!];
}

/** TopK takes equal elements in order of index, which also makes the sort stable. */
function sort(c: AtenContext, self: Value, dim: number, descending: boolean): Value[] {
  return topk(c, self, c.rank(self) === 0 ? 1 : c.size(self, dim), dim, descending);
}

function cumulative(c: AtenContext, self: Value, dim: number, dtype: DType | null): Value {
  const own = c.dtype(self);
  const x = c.cast(self, dtype ?? (isFloat(own) ? own : 'int64'));
  if (c.rank(x) === 0) return x;
  return c.op('CumSum', [x, c.int64(c.axis(dim, c.rank(x)))]);
}

/** A lower triangle of ones picks what came before: the running product in logarithms would lose signs. */
function running(c: AtenContext, type: 'ReduceProd' | 'ReduceMax' | 'ReduceMin', x: Value, dim: number): Value {
  const rank = c.rank(x);
  if (rank === 0) return x;
  const axis = c.axis(dim, rank);
  const size = c.size(x, axis);
  if (typeof size !== 'number' || size > 64) throw c.unsupported('a running product or extreme along an axis of unknown or large size');
  const parts = Array.from({ length: size }, (_, i) => reduce(c, type, c.slice(x, axis, 0, i + 1), [axis], true));
  return c.concat(parts, axis);
}

export function norm(c: AtenContext, self: Value, p: number, dim: readonly number[] | null, keepdim: boolean): Value {
  const x = floats(c, self);
  const axes = axesOf(c, x, dim);
  if (p === 2) return reduce(c, 'ReduceL2', x, axes, keepdim);
  if (p === 1) return reduce(c, 'ReduceL1', x, axes, keepdim);
  const size = c.op('Abs', [x]);
  if (p === Infinity) return reduce(c, 'ReduceMax', size, axes, keepdim);
  if (p === -Infinity) return reduce(c, 'ReduceMin', size, axes, keepdim);
  const dtype = c.dtype(x);
  if (p === 0) return reduce(c, 'ReduceSum', c.cast(c.op('Greater', [size, c.constant(dtype, 0)]), dtype), axes, keepdim);
  return c.op('Pow', [reduce(c, 'ReduceSum', c.op('Pow', [size, c.constant(dtype, p)]), axes, keepdim), c.constant(dtype, 1 / p)]);
}

export const reductions = [
  row('sum.default(Tensor self, *, ScalarType? dtype=None)', (c, { self, dtype }) => summed(c, 'ReduceSum', self, null, false, dtype)),
  row('sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None)', (c, { self, dim, keepdim, dtype }) =>
    summed(c, 'ReduceSum', self, dim, keepdim, dtype)),
  row('prod.default(Tensor self, *, ScalarType? dtype=None)', (c, { self, dtype }) => summed(c, 'ReduceProd', self, null, false, dtype)),
  row('prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None)', (c, { self, dim, keepdim, dtype }) =>
    summed(c, 'ReduceProd', self, [dim], keepdim, dtype)),
  row('mean.default(Tensor self, *, ScalarType? dtype=None)', (c, { self, dtype }) => mean(c, self, null, false, dtype)),
  row('mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None)', (c, { self, dim, keepdim, dtype }) => mean(c, self, dim, keepdim, dtype)),
  ...rowsOf({ amax: 'ReduceMax', amin: 'ReduceMin' }, (name, type) =>
    row(`${name}(Tensor self, int[1] dim=[], bool keepdim=False)`, (c, { self, dim, keepdim }) => extreme(c, type, self, dim, keepdim))),
  ...rowsOf({ max: 'Max', min: 'Min' } as const, (name, kind) => row(`${name}.default(Tensor self)`, (c, { self }) => extreme(c, `Reduce${kind}`, self, null, false))),
  ...rowsOf({ max: 'Max', min: 'Min' } as const, (name, kind) =>
    row(`${name}.dim(Tensor self, int dim, bool keepdim=False)`, (c, { self, dim, keepdim }) => withIndices(c, kind, self, dim, keepdim))),
  ...rowsOf({ argmax: 'ArgMax', argmin: 'ArgMin' }, (name, type) =>
    row(`${name}(Tensor self, int? dim=None, bool keepdim=False)`, (c, { self, dim, keepdim }) => arg(c, type, self, dim, keepdim))),
  row('aminmax(Tensor self, *, int? dim=None, bool keepdim=False)', (c, { self, dim, keepdim }) => {
    const dims = dim === null ? null : [dim];
    return [extreme(c, 'ReduceMin', self, dims, keepdim), extreme(c, 'ReduceMax', self, dims, keepdim)];
  }),
  ...Object.entries({ any: anyOf, all: allOf }).flatMap(([name, of]) => [
    row(`${name}.default(Tensor self)`, (c, { self }) => of(c, self, null, false)),
    row(`${name}.dim(Tensor self, int dim, bool keepdim=False)`, (c, { self, dim, keepdim }) => of(c, self, [dim], keepdim)),
    row(`${name}.dims(Tensor self, int[]? dim=None, bool keepdim=False)`, (c, { self, dim, keepdim }) => of(c, self, dim, keepdim)),
  ]),
  ...spreads,
  row('logsumexp(Tensor self, int[1] dim, bool keepdim=False)', (c, { self, dim, keepdim }) => {
    const x = floats(c, self);
    return reduce(c, 'ReduceLogSumExp', x, axesOf(c, x, dim), keepdim);
  }),
  row('topk(Tensor self, SymInt k, int dim=-1, bool largest=True, bool sorted=True)', (c, { self, k, dim, largest }) => topk(c, self, k, dim, largest)),
  row('sort.default(Tensor self, int dim=-1, bool descending=False)', (c, { self, dim, descending }) => sort(c, self, dim, descending)),
  row('sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False)', (c, { self, dim, descending }) => sort(c, self, dim, descending)),
  row('argsort.default(Tensor self, int dim=-1, bool descending=False)', (c, { self, dim, descending }) => sort(c, self, dim, descending)[1]!),
  row('argsort.stable(Tensor self, *, bool stable, int dim=-1, bool descending=False)', (c, { self, dim, descending }) => sort(c, self, dim, descending)[1]!),
  row('cumsum(Tensor self, int dim, *, ScalarType? dtype=None)', (c, { self, dim, dtype }) => cumulative(c, self, dim, dtype)),
  row('cumprod(Tensor self, int dim, *, ScalarType? dtype=None)', (c, { self, dim, dtype }) => running(c, 'ReduceProd', dtype ? c.cast(self, dtype) : self, dim)),
  row('median(Tensor self)', (c, { self }) => {
    const flat = c.reshape(self, [-1]);
    const count = c.size(flat, 0);
    if (typeof count !== 'number') throw c.unsupported('the median of an unknown number of elements');
    // The lower of the two in the middle.
    const [sorted] = sort(c, flat, 0, false);
    return c.op('Gather', [sorted!, c.int64((count - 1) >> 1)], { axis: 0 });
  }),
  row('norm.Scalar(Tensor self, Scalar p=2)', (c, { self, p }) => norm(c, self, plainNumber(p) ?? 2, null, false)),
  row('norm.ScalarOpt_dim(Tensor self, Scalar? p, int[1] dim, bool keepdim=False)', (c, { self, p, dim, keepdim }) =>
    norm(c, self, p === null ? 2 : (plainNumber(p) ?? 2), dim, keepdim)),
  row('linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None)', (c, { self, ord, dim, keepdim, dtype }) =>
    norm(c, dtype ? c.cast(self, dtype) : self, plainNumber(ord) ?? 2, dim, keepdim)),
  row('count_nonzero.{default,dim_IntList}(Tensor self, int[1]? dim=None)', (c, { self, dim }) =>
    reduce(c, 'ReduceSum', c.cast(c.cast(self, 'bool'), 'int64'), axesOf(c, self, dim), false)),
  row('diff(Tensor self, int n=1, int dim=-1)', (c, { self, n, dim }) => {
    const axis = c.axis(dim, c.rank(self));
    let x = self;
    for (let i = 0; i < n; i++) x = wide(c, [c.slice(x, axis, 1, Number.MAX_SAFE_INTEGER), c.slice(x, axis, 0, -1)], (pair) => c.op('Sub', pair));
    return x;
  }),
];
