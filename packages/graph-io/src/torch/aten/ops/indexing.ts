/** Reading and writing at positions: index, gather, scatter, embedding, masks. */
import type { Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { isFloat } from '../promote.js';
import { row, rowsOf } from '../row.js';
import type { Operand, SymInt } from '../values.js';
import { reduce } from './reduce.js';
import { selectOf, sliceOf } from './movement.js';

interface Indexed {
  readonly axis: number;
  readonly index: Value;
}

/** Masks become the positions they mark: one index per axis of the mask. */
function positions(c: AtenContext, indices: readonly (Value | null)[]): Indexed[] {
  let axis = 0;
  return indices.flatMap((index): Indexed[] => {
    if (index === null) {
      axis++;
      return [];
    }
    const dtype = c.dtype(index);
    if (dtype !== 'bool' && dtype !== 'uint8') return [{ axis: axis++, index: c.cast(index, 'int64') }];
    const rank = c.rank(index);
    const marked = c.op('NonZero', [c.cast(index, 'bool')]);
    return Array.from({ length: rank }, (_, i) => ({ axis: axis++, index: c.op('Gather', [marked, c.int64(i)], { axis: 0 }) }));
  });
}

/** All indices broadcast to one shape and stacked along a new last axis. */
function stacked(c: AtenContext, indexed: readonly Indexed[]): Value {
  if (indexed.length === 1) return c.unsqueeze(indexed[0]!.index, [-1]);
  const rank = Math.max(...indexed.map(({ index }) => c.rank(index)));
  const shapes = indexed.map(({ index }) => c.dims(index));
  const alike = shapes.every((dims) => dims.length === rank && dims.every((dim, i) => dim !== null && dim === shapes[0]![i]));
  let list = indexed.map(({ index }) => index);
  if (!alike) {
    const zero = list.map((index) => c.op('Mul', [index, c.int64(0)])).reduce((a, b) => c.op('Add', [a, b]));
    const shape = c.op('Shape', [zero]);
    list = list.map((index) => c.op('Expand', [index, shape]));
  }
  return c.concat(list.map((index) => c.unsqueeze(index, [-1])), rank);
}

/** The permutation that brings the indexed axes to the front. */
function toFront(rank: number, indexed: readonly Indexed[]): number[] {
  const front = indexed.map(({ axis }) => axis);
  return [...front, ...Array.from({ length: rank }, (_, i) => i).filter((axis) => !front.includes(axis))];
}

/** Where the axes of the index go: in place of adjacent indexed axes, otherwise first. */
function placeOf(indexed: readonly Indexed[]): number {
  const adjacent = indexed.every(({ axis }, i) => i === 0 || axis === indexed[i - 1]!.axis + 1);
  return adjacent ? indexed[0]!.axis : 0;
}

/** Axes [0, count) moved to [place, place + count). */
const moveBack = (rank: number, count: number, place: number): number[] => {
  const rest = Array.from({ length: rank - count }, (_, i) => count + i);
  return [...rest.slice(0, place), ...Array.from({ length: count }, (_, i) => i), ...rest.slice(place)];
};

function inverse(perm: readonly number[]): number[] {
  const out = new Array<number>(perm.length);
  perm.forEach((axis, i) => (out[axis] = i));
  return out;
}

function index(c: AtenContext, self: Value, indices: readonly (Value | null)[]): Value {
  const indexed = positions(c, indices);
  if (indexed.length === 0) return self;
  if (indexed.length === 1) return c.op('Gather', [self, indexed[0]!.index], { axis: indexed[0]!.axis });
  const rank = c.rank(self);
  const stack = stacked(c, indexed);
  const count = c.rank(stack) - 1;
  const picked = c.op('GatherND', [c.transpose(self, toFront(rank, indexed)), stack]);
  return c.transpose(picked, moveBack(rank - indexed.length + count, count, placeOf(indexed)));
}

function indexPut(c: AtenContext, self: Value, indices: readonly (Value | null)[], values: Value, accumulate: boolean): Value {
  const [mask] = indices;
  if (!accumulate && indices.length === 1 && mask && c.dtype(mask) === 'bool' && c.rank(values) === 0) {
    const missing = c.rank(self) - c.rank(mask);
    return c.op('Where', [c.unsqueeze(mask, Array.from({ length: missing }, (_, i) => c.rank(mask) + i)), c.cast(values, c.dtype(self)), self]);
  }
  const indexed = positions(c, indices);
  if (indexed.length === 0) return c.expand(c.cast(values, c.dtype(self)), c.sizes(self));
  const rank = c.rank(self);
  const perm = toFront(rank, indexed);
  const front = c.transpose(self, perm);
  const stack = stacked(c, indexed);
  const count = c.rank(stack) - 1;
  // Values broadcast to the shape that reading would give, and are turned as it was.
  const place = placeOf(indexed);
  const read = c.op('Shape', [c.op('GatherND', [front, stack])]);
  const turned = moveBack(rank - indexed.length + count, count, place);
  const shape = place === 0 ? read : c.op('Gather', [read, c.int64(turned)], { axis: 0 });
  const updates = c.transpose(c.op('Expand', [c.cast(values, c.dtype(self)), shape]), inverse(turned));
  const written = c.op('ScatterND', [front, stack, updates], accumulate ? { reduction: 'add' } : {});
  return c.transpose(written, inverse(perm));
}

/** ScatterElements takes updates of the shape of the index; PyTorch's may be larger. */
function scatter(c: AtenContext, self: Value, dim: number, index: Value, source: Operand, reduction: string): Value {
  const dtype = c.dtype(self);
  const rank = c.rank(self);
  if (rank === 0) return c.squeeze(scatter(c, c.unsqueeze(self, [0]), 0, c.reshape(index, [1]), typeof source === 'object' && 'name' in source ? c.reshape(source, [1]) : source, reduction), [0]);
  const own = c.tensor(source, dtype);
  const sizes = c.sizes(index);
  let updates: Value;
  if (c.rank(own) === 0) updates = c.expand(own, sizes);
  else {
    const same = c.dims(own).every((size, i) => size !== null && size === c.dims(index)[i]);
    const axes = sizes.map((_, i) => i);
    updates = same ? own : c.op('Slice', [own, c.int64(axes.map(() => 0)), c.vector(sizes), c.int64(axes)]);
  }
  const bool = dtype === 'bool';
  const [x, u] = bool ? [c.cast(self, 'int32'), c.cast(updates, 'int32')] : [self, updates];
  const out = c.op('ScatterElements', [x, c.cast(index, 'int64'), u], { axis: c.axis(dim, rank), ...(reduction === 'none' ? {} : { reduction }) });
  return bool ? c.cast(out, 'bool') : out;
}

const reductions: Readonly<Record<string, string>> = { sum: 'add', prod: 'mul', amax: 'max', amin: 'min', add: 'add', multiply: 'mul' };

/** What a reduction starts from. */
const identities: Readonly<Record<string, number>> = { sum: 0, prod: 1, amax: -Infinity, amin: Infinity };

function reductionOf(c: AtenContext, name: string): string {
  const reduction = reductions[name];
  if (!reduction) throw c.unsupported(`the reduction ${name}`);
  return reduction;
}

function gather(c: AtenContext, self: Value, dim: number, index: Value): Value {
  if (c.rank(self) === 0) return c.expand(self, c.sizes(index));
  return c.op('GatherElements', [self, c.cast(index, 'int64')], { axis: c.axis(dim, c.rank(self)) });
}

const indexSelect = (c: AtenContext, self: Value, dim: number, index: Value): Value => {
  const list = c.rank(index) === 0 ? c.unsqueeze(index, [0]) : index;
  if (c.rank(self) === 0) return self;
  return c.op('Gather', [self, c.cast(list, 'int64')], { axis: c.axis(dim, c.rank(self)) });
};

/** `source` in place of a slice of one axis. */
export function sliceScatter(c: AtenContext, self: Value, source: Value, dim: number, start: SymInt | null, end: SymInt | null, step: SymInt): Value {
  const axis = c.axis(dim, c.rank(self));
  const size = c.size(self, axis);
  const range = typeof size === 'number'
    ? c.builder.constant('int64', Array.from({ length: c.count(size) }, (_, i) => i))
    : c.op('Range', [c.int64(0), c.squeeze(size.value, [0]), c.int64(1)]);
  const picked = sliceOf(c, range, 0, start, end, step);
  return writeAt(c, self, source, axis, picked);
}

/** Writes whole slices at positions along one axis: the axis goes first for ScatterND. */
function writeAt(c: AtenContext, self: Value, source: Value, axis: number, at: Value, reduction?: string): Value {
  const rank = c.rank(self);
  const perm = [axis, ...Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis)];
  const updates = c.transpose(c.cast(source, c.dtype(self)), perm);
  const written = c.op('ScatterND', [c.transpose(self, perm), c.unsqueeze(at, [-1]), updates], reduction ? { reduction } : {});
  return c.transpose(written, inverse(perm));
}

export function selectScatter(c: AtenContext, self: Value, source: Value, dim: number, index: SymInt): Value {
  const axis = c.axis(dim, c.rank(self));
  const at = typeof index === 'number' ? c.int64([index]) : c.vector([index]);
  return writeAt(c, self, c.unsqueeze(source, [axis]), axis, at);
}

/** Elements on a diagonal become the last axis. */
function diagonal(c: AtenContext, self: Value, offset: number, dim1: number, dim2: number): Value {
  const rank = c.rank(self);
  const [a, b] = [c.axis(dim1, rank), c.axis(dim2, rank)];
  const [rows, columns] = [c.size(self, a), c.size(self, b)];
  if (typeof rows !== 'number' || typeof columns !== 'number') throw c.unsupported('a diagonal of unknown size');
  const count = Math.max(0, offset >= 0 ? Math.min(rows, columns - offset) : Math.min(rows + offset, columns));
  const at = Array.from({ length: c.count(count) }, (_, i) => [i + Math.max(0, -offset), i + Math.max(0, offset)]).flat();
  const indices = c.builder.constant('int64', at, [count, 2]);
  const rest = c.axes(null, rank).filter((axis) => axis !== a && axis !== b);
  const picked = c.op('GatherND', [c.transpose(self, [a, b, ...rest]), indices]);
  return c.transpose(picked, moveBack(rank - 1, 1, rank - 2));
}

/** Strides of a contiguous tensor; those of axes of one element say nothing. */
function isPacked(size: readonly SymInt[], stride: readonly SymInt[]): boolean {
  let expected = 1;
  for (let axis = size.length - 1; axis >= 0; axis--) {
    const length = size[axis]!;
    if (length === 1) continue;
    if (stride[axis] !== expected) return false;
    expected *= typeof length === 'number' ? length : Number.NaN;
  }
  return true;
}

const nonzero = (c: AtenContext, self: Value): Value => c.op('Transpose', [c.op('NonZero', [self])], { perm: [1, 0] });

/** Values of `source` in order at the marked places. */
function maskedScatter(c: AtenContext, self: Value, mask: Value, source: Value): Value {
  const full = c.op('Expand', [c.cast(mask, 'bool'), c.op('Shape', [self])]);
  const at = c.op('Transpose', [c.op('NonZero', [full])], { perm: [1, 0] });
  const count = c.op('Shape', [at], { start: 0, end: 1 });
  const updates = c.op('Slice', [c.reshape(source, [-1]), c.int64([0]), count]);
  return c.op('ScatterND', [self, at, updates]);
}

export const indexing = [
  row('index.Tensor(Tensor self, Tensor?[] indices)', (c, { self, indices }) => index(c, self, indices)),
  row('_unsafe_index.Tensor(Tensor self, Tensor?[] indices)', (c, { self, indices }) => index(c, self, indices)),
  ...rowsOf({ index_put: 0, _unsafe_index_put: 0 }, (name) => row(`${name}(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False)`,
    (c, { self, indices, values, accumulate }) => indexPut(c, self, indices, values, accumulate))),
  row('_index_put_impl(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False, bool unsafe=False)', (c, { self, indices, values, accumulate }) =>
    indexPut(c, self, indices, values, accumulate)),
  row('index_select(Tensor self, int dim, Tensor index)', (c, { self, dim, index: at }) => indexSelect(c, self, dim, at)),
  row('index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1)', (c, { self, dim, index: at, source, alpha }) => {
    const scaled = alpha === 1 ? source : c.op('Mul', [source, c.tensor(alpha, c.dtype(source))]);
    return writeAt(c, self, scaled, c.axis(dim, c.rank(self)), c.cast(at, 'int64'), 'add');
  }),
  row('index_copy(Tensor self, int dim, Tensor index, Tensor source)', (c, { self, dim, index: at, source }) =>
    writeAt(c, self, source, c.axis(dim, c.rank(self)), c.cast(at, 'int64'))),
  row('index_fill.{int_Scalar,int_Tensor}(Tensor self, int dim, Tensor index, Operand value)', (c, { self, dim, index: at, value }) => {
    const axis = c.axis(dim, c.rank(self));
    const picked = indexSelect(c, self, axis, at);
    return writeAt(c, self, c.op('Expand', [c.tensor(value, c.dtype(self)), c.op('Shape', [picked])]), axis, c.cast(at, 'int64'));
  }),
  row('gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False)', (c, { self, dim, index: at }) => gather(c, self, dim, at)),
  row('take(Tensor self, Tensor index)', (c, { self, index: at }) => c.op('Gather', [c.reshape(self, [-1]), at], { axis: 0 })),
  row('take_along_dim(Tensor self, Tensor indices, int? dim=None)', (c, { self, indices, dim }) =>
    (dim === null ? gather(c, c.reshape(self, [-1]), 0, c.reshape(indices, [-1])) : gather(c, self, dim, indices))),
  row('scatter.{src,value}(Tensor self, int dim, Tensor index, Operand src)', (c, { self, dim, index: at, src }) => scatter(c, self, dim, at, src, 'none')),
  row('scatter.value(Tensor self, int dim, Tensor index, Scalar value)', (c, { self, dim, index: at, value }) => scatter(c, self, dim, at, value, 'none')),
  row('scatter.reduce(Tensor self, int dim, Tensor index, Tensor src, *, str reduce)', (c, { self, dim, index: at, src, reduce: name }) => scatter(c, self, dim, at, src, reductionOf(c, name))),
  row('scatter_add(Tensor self, int dim, Tensor index, Tensor src)', (c, { self, dim, index: at, src }) => scatter(c, self, dim, at, src, 'add')),
  row('scatter_reduce.two(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True)', (c, { self, dim, index: at, src, reduce: name, include_self }) => {
    if (!include_self) {
      const start = identities[name];
      if (start === undefined || !isFloat(c.dtype(self))) throw c.unsupported(`include_self=False with ${name} of ${c.dtype(self)}`);
      return scatter(c, scatter(c, self, dim, at, start, 'none'), dim, at, src, reductionOf(c, name));
    }
    if (name === 'mean') {
      const sum = scatter(c, self, dim, at, src, 'add');
      const one = c.constant(c.dtype(self), 1);
      const ones = c.op('Expand', [one, c.op('Shape', [self])]);
      return c.op('Div', [sum, scatter(c, ones, dim, at, c.op('Expand', [one, c.op('Shape', [at])]), 'add')]);
    }
    return scatter(c, self, dim, at, src, reductionOf(c, name));
  }),
  row('slice_scatter(Tensor self, Tensor src, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1)', (c, { self, src, dim, start, end, step }) =>
    sliceScatter(c, self, src, dim, start, end, step)),
  row('select_scatter(Tensor self, Tensor src, int dim, SymInt index)', (c, { self, src, dim, index: at }) => selectScatter(c, self, src, dim, at)),
  row('diagonal(Tensor self, int offset=0, int dim1=0, int dim2=1)', (c, { self, offset, dim1, dim2 }) => diagonal(c, self, offset, dim1, dim2)),
  row('diag(Tensor self, int diagonal=0)', (c, { self, diagonal: offset }) => {
    if (c.rank(self) !== 2) throw c.unsupported('a matrix from its diagonal');
    return diagonal(c, self, offset, 0, 1);
  }),
  row('as_strided(Tensor self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None)', (c, { self, size, stride, storage_offset }) => {
    if (isPacked(size, stride) && (storage_offset ?? 0) === 0 && size.length === c.rank(self)) return c.reshape(self, size);
    const numbers = [...size, ...stride, storage_offset ?? 0];
    if (!numbers.every((number) => typeof number === 'number')) throw c.unsupported('sizes or strides that are computed in the graph');
    // The storage is taken for that of a contiguous tensor: a graph has no other.
    const [shape, steps] = [size as number[], stride as number[]];
    const at = shape.reduce<number[]>((places, length, axis) => places.flatMap((place) => Array.from({ length }, (_, i) => place + i * steps[axis]!)), [(storage_offset as number | null) ?? 0]);
    if (at.length > 1 << 16) throw c.unsupported('a strided view of more than 65,536 elements');
    return c.op('Gather', [c.reshape(self, [-1]), c.builder.constant('int64', at, shape)], { axis: 0 });
  }),
  row('trace(Tensor self)', (c, { self }) => reduce(c, 'ReduceSum', diagonal(c, self, 0, 0, 1), [0], false)),
  row('embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False)', (c, { weight, indices }) =>
    c.op('Gather', [weight, indices], { axis: 0 })),
  row('one_hot(Tensor self, int num_classes=-1)', (c, { self, num_classes }) => {
    if (num_classes < 0) throw c.unsupported('a number of classes that follows from the data');
    return c.op('OneHot', [self, c.int64(num_classes), c.int64([0, 1])], { axis: -1 });
  }),
  row('nonzero(Tensor self)', (c, { self }) => nonzero(c, self)),
  row('nonzero_numpy(Tensor self)', (c, { self }) => {
    const marked = c.op('NonZero', [self]);
    return Array.from({ length: c.rank(self) }, (_, i) => selectOf(c, marked, 0, i));
  }),
  row('argwhere(Tensor self)', (c, { self }) => nonzero(c, self)),
  row('masked_select(Tensor self, Tensor mask)', (c, { self, mask }) => {
    const both = c.op('Expand', [mask, c.op('Shape', [self])]);
    const x = c.op('Expand', [self, c.op('Shape', [both])]);
    return c.op('Compress', [c.reshape(x, [-1]), c.reshape(both, [-1])], { axis: 0 });
  }),
  row('masked_scatter(Tensor self, Tensor mask, Tensor source)', (c, { self, mask, source }) => maskedScatter(c, self, mask, source)),
  row('bucketize.Tensor(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False)', (c, { self, boundaries, out_int32, right }) => {
    // The number of boundaries below (or at) each value.
    const x = c.unsqueeze(self, [c.rank(self)]);
    const before = c.op(right ? 'LessOrEqual' : 'Less', c.promoted([boundaries, x]));
    return reduce(c, 'ReduceSum', c.cast(before, out_int32 ? 'int32' : 'int64'), [c.rank(self)], false);
  }),
  ...rowsOf({ triu: 1, tril: 0 }, (name, upper) => row(`${name}(Tensor self, SymInt diagonal=0)`, (c, { self, diagonal: k }) => {
    const bool = c.dtype(self) === 'bool';
    const x = bool ? c.cast(self, 'int64') : self;
    const out = c.op('Trilu', [x, typeof k === 'number' ? c.int64(k) : c.scalarOf(k, 'int64')], { upper });
    return bool ? c.cast(out, 'bool') : out;
  })),
];
