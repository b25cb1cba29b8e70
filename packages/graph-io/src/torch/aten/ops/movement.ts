/** Operators that move elements without changing them: views, concatenation, repetition, padding. */
import { type Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { atenLimits } from '../../../limits.js';
import { row, rowsOf } from '../row.js';
import { type SymInt } from '../values.js';

/** The end of an axis, in PyTorch's slices. */
const END = 2 ** 53 - 1;

function permute(c: AtenContext, self: Value, dims: readonly number[]): Value {
  return c.transpose(self, c.axes(dims, c.rank(self)));
}

/** -1 may stand for one size, here and in PyTorch. */
const view = (c: AtenContext, self: Value, size: readonly SymInt[]): Value => c.reshape(self, size);

export function flatten(c: AtenContext, self: Value, start: number, end: number): Value {
  const rank = c.rank(self);
  if (rank === 0) return c.reshape(self, [1]);
  const [from, to] = [c.axis(start, rank), c.axis(end, rank)];
  if (from === to) return self;
  const sizes = c.sizes(self);
  const joined = sizes.slice(from, to + 1);
  const middle = joined.every((size) => typeof size === 'number') ? c.product(joined) : -1;
  return c.reshape(self, [...sizes.slice(0, from), middle, ...sizes.slice(to + 1)]);
}

/** Only axes of size 1 go; an axis of unknown size stays, as it does in an export. */
function squeeze(c: AtenContext, self: Value, dims: readonly number[] | null): Value {
  const shape = c.dims(self);
  const axes = dims === null ? [...shape.keys()] : shape.length === 0 ? [] : c.axes(dims, shape.length);
  return c.squeeze(self, axes.filter((axis) => shape[axis] === 1));
}

function insertAxis(c: AtenContext, self: Value, dim: number): Value {
  return c.unsqueeze(self, [c.axis(dim, c.rank(self) + 1)]);
}

/** Bounds beyond the axis saturate in both worlds; null is from the start, or to the end. */
export function sliceOf(c: AtenContext, self: Value, dim: number, start: SymInt | null, end: SymInt | null, step: SymInt): Value {
  const axis = c.axis(dim, c.rank(self));
  if (typeof step !== 'number') throw c.unsupported('a step that is computed in the graph');
  if ((start === null || start === 0) && (end === null || (typeof end === 'number' && end >= END)) && step === 1) return self;
  const size = c.dims(self)[axis];
  if (step === 1 && (start === null || start === 0) && end !== null && size !== null && c.dim(end) === size) return self;
  return c.slice(self, axis, start ?? 0, end ?? END, step);
}

export function selectOf(c: AtenContext, self: Value, dim: number, index: SymInt): Value {
  const axis = c.axis(dim, c.rank(self));
  return c.op('Gather', [self, typeof index === 'number' ? c.int64(index) : c.scalarOf(index, 'int64')], { axis });
}

/** Parts of given sizes. */
function splitSizes(c: AtenContext, self: Value, sizes: readonly SymInt[], dim: number): Value[] {
  if (sizes.length === 1) return [self];
  return c.ops('Split', [self, c.vector(sizes)], { axis: c.axis(dim, c.rank(self)) }, { outputCount: sizes.length });
}

/** Parts of one size, the last one smaller. */
function splitEvery(c: AtenContext, self: Value, part: SymInt, dim: number): Value[] {
  const size = c.size(self, dim);
  if (typeof size !== 'number' || typeof part !== 'number') throw c.unsupported('parts along an axis of unknown size');
  const count = Math.max(1, Math.ceil(size / part));
  return splitSizes(c, self, Array.from({ length: c.count(count, atenLimits.parts) }, (_, i) => Math.min(part, size - i * part)), dim);
}

function unbind(c: AtenContext, self: Value, dim: number): Value[] {
  const size = c.size(self, dim);
  if (typeof size !== 'number') throw c.unsupported('an axis of unknown size cannot be taken apart');
  return Array.from({ length: c.count(size, atenLimits.parts) }, (_, i) => selectOf(c, self, dim, i));
}

function cat(c: AtenContext, tensors: readonly Value[], dim: number): Value {
  // An empty vector may be concatenated with anything, for the sake of old programs.
  const parts = tensors.filter((tensor) => !(c.rank(tensor) === 1 && c.dims(tensor)[0] === 0));
  const kept = parts.length === 0 ? tensors.slice(0, 1) : parts;
  return c.concat(c.promoted(kept), c.axis(dim, c.rank(kept[0]!)));
}

const stack = (c: AtenContext, tensors: readonly Value[], dim: number): Value =>
  c.concat(c.promoted(tensors).map((tensor) => insertAxis(c, tensor, dim)), c.axis(dim, c.rank(tensors[0]!) + 1));

/** Axes are added in front first. */
function repeat(c: AtenContext, self: Value, repeats: readonly SymInt[]): Value {
  const added = repeats.length - c.rank(self);
  const x = c.unsqueeze(self, Array.from({ length: added }, (_, i) => i));
  return repeats.every((count) => count === 1) ? x : c.op('Tile', [x, c.vector(repeats)]);
}

function flip(c: AtenContext, self: Value, dims: readonly number[]): Value {
  const axes = c.axes(dims, c.rank(self));
  if (axes.length === 0 || c.rank(self) === 0) return self;
  const all = (value: number): Value => c.int64(axes.map(() => value));
  return c.op('Slice', [self, all(-1), all(-END), c.int64(axes), all(-1)]);
}

/** What leaves at the end comes in at the front. */
function roll(c: AtenContext, self: Value, shifts: readonly SymInt[], dims: readonly number[]): Value {
  if (dims.length === 0) {
    const flat = c.reshape(self, [-1]);
    return c.reshape(roll(c, flat, shifts, [0]), c.sizes(self));
  }
  return dims.reduce((x, dim, i) => {
    const axis = c.axis(dim, c.rank(x));
    const shift = shifts[i] ?? 0;
    const size = c.size(x, axis);
    if (typeof shift !== 'number') throw c.unsupported('a shift that is computed in the graph');
    const by = typeof size === 'number' && size > 0 ? ((shift % size) + size) % size : shift;
    if (by === 0) return x;
    return c.concat([c.slice(x, axis, -by, END), c.slice(x, axis, 0, -by)], axis);
  }, self);
}

/** PyTorch lists pads from the last axis on, before and after; ONNX all befores, then all afters. */
export function pad(c: AtenContext, self: Value, pads: readonly SymInt[], mode: string, value: Value | null = null): Value {
  const rank = c.rank(self);
  const before = new Array<SymInt>(rank).fill(0);
  const after = new Array<SymInt>(rank).fill(0);
  for (let i = 0; i * 2 < pads.length; i++) {
    before[rank - 1 - i] = pads[i * 2]!;
    after[rank - 1 - i] = pads[i * 2 + 1]!;
  }
  const bool = c.dtype(self) === 'bool';
  const x = bool ? c.cast(self, 'int32') : self;
  const fill = value && (bool ? c.cast(value, 'int32') : value);
  const padded = c.op('Pad', [x, c.vector([...before, ...after]), fill], mode === 'constant' ? {} : { mode });
  return bool ? c.cast(padded, 'bool') : padded;
}

const padModes: Readonly<Record<string, string>> = { reflect: 'reflect', replicate: 'edge', circular: 'wrap', constant: 'constant' };

/** Windows along one axis become a new last axis: the sliding window view. */
function unfold(c: AtenContext, self: Value, dimension: number, size: number, step: number): Value {
  const rank = c.rank(self);
  const axis = c.axis(dimension, rank);
  const length = c.size(self, axis);
  if (typeof length !== 'number') throw c.unsupported('windows along an axis of unknown size');
  const count = Math.floor((length - size) / step) + 1;
  c.count(count * size);
  const starts = Array.from({ length: c.count(count) }, (_, i) => i * step);
  const indices = c.builder.constant('int64', starts.flatMap((start) => Array.from({ length: size }, (_, k) => start + k)), [starts.length, size]);
  const windows = c.op('Gather', [self, indices], { axis });
  return c.transpose(windows, [...Array.from({ length: rank + 1 }, (_, i) => i).filter((i) => i !== axis + 1), axis + 1]);
}

/** (batch…, c·r², h, w) to (batch…, c, h·r, w·r); DepthToSpace knows one batch axis. */
function shuffle(c: AtenContext, self: Value, blocksize: number, up: boolean): Value {
  const sizes = c.sizes(self);
  const lead = sizes.slice(0, -3);
  const x = lead.length === 1 ? self : c.reshape(self, [-1, ...sizes.slice(-3)]);
  let out: Value;
  if (up) out = c.op('DepthToSpace', [x], { blocksize, mode: 'CRD' });
  else {
    // SpaceToDepth puts the block before the channels, PyTorch after them.
    const [channels, h, w] = sizes.slice(-3) as [SymInt, SymInt, SymInt];
    const part = (size: SymInt): SymInt => (typeof size === 'number' ? size / blocksize : c.math('Div', size, blocksize));
    const split = c.reshape(x, [-1, channels, part(h), blocksize, part(w), blocksize]);
    out = c.reshape(c.transpose(split, [0, 1, 3, 5, 2, 4]), [-1, c.math('Mul', channels, blocksize ** 2), part(h), part(w)]);
  }
  return lead.length === 1 ? out : c.reshape(out, [...lead, ...c.sizes(out).slice(1)]);
}

function meshgrid(c: AtenContext, tensors: readonly Value[], indexing: string): Value[] {
  const sizes = tensors.map((tensor) => (c.rank(tensor) === 0 ? 1 : c.size(tensor, 0)));
  const grids = tensors.map((tensor, i) => c.expand(c.reshape(tensor, sizes.map((_, k) => (k === i ? -1 : 1))), sizes));
  return indexing === 'xy' && grids.length > 1 ? grids.map((grid) => c.swap(grid, 0, 1)) : grids;
}

export const movements = [
  ...rowsOf({ view: 0, reshape: 0, _unsafe_view: 0, view_copy: 0 }, (name) => row(`${name}(Tensor self, SymInt[] size)`, (c, { self, size }) => view(c, self, size))),
  row('view_as(Tensor self, Tensor other)', (c, { self, other }) => view(c, self, c.sizes(other))),
  row('reshape_as(Tensor self, Tensor other)', (c, { self, other }) => view(c, self, c.sizes(other))),
  row('_reshape_copy(Tensor self, SymInt[] size)', (c, { self, size }) => view(c, self, size)),
  row('flatten.using_ints(Tensor self, int start_dim=0, int end_dim=-1)', (c, { self, start_dim, end_dim }) => flatten(c, self, start_dim, end_dim)),
  row('ravel(Tensor self)', (c, { self }) => c.reshape(self, [-1])),
  row('unflatten.int(Tensor self, int dim, SymInt[] sizes)', (c, { self, dim, sizes }) => {
    const own = c.sizes(self);
    const axis = c.axis(dim, own.length);
    return c.reshape(self, [...own.slice(0, axis), ...sizes, ...own.slice(axis + 1)]);
  }),
  ...rowsOf({ permute: 0, permute_copy: 0 }, (name) => row(`${name}(Tensor self, int[] dims)`, (c, { self, dims }) => permute(c, self, dims))),
  row('transpose.int(Tensor self, int dim0, int dim1)', (c, { self, dim0, dim1 }) => c.swap(self, dim0, dim1)),
  row('swapaxes(Tensor self, int axis0, int axis1)', (c, { self, axis0, axis1 }) => c.swap(self, axis0, axis1)),
  row('swapdims(Tensor self, int dim0, int dim1)', (c, { self, dim0, dim1 }) => c.swap(self, dim0, dim1)),
  row('movedim.int(Tensor self, int source, int destination)', (c, { self, source, destination }) => movedim(c, self, [source], [destination])),
  row('movedim.intlist(Tensor self, int[] source, int[] destination)', (c, { self, source, destination }) => movedim(c, self, source, destination)),
  row('t(Tensor self)', (c, { self }) => (c.rank(self) < 2 ? self : c.swap(self, 0, 1))),
  row('numpy_T(Tensor self)', (c, { self }) => c.transpose(self, c.axes(null, c.rank(self)).reverse())),
  ...rowsOf({ mT: 0, adjoint: 0 }, (name) => row(`${name}(Tensor self)`, (c, { self }) => c.swap(self, -1, -2))),
  row('squeeze.default(Tensor self)', (c, { self }) => squeeze(c, self, null)),
  row('squeeze.dim(Tensor self, int dim)', (c, { self, dim }) => squeeze(c, self, [dim])),
  row('squeeze.dims(Tensor self, int[] dim)', (c, { self, dim }) => squeeze(c, self, dim)),
  row('unsqueeze(Tensor self, int dim)', (c, { self, dim }) => insertAxis(c, self, dim)),
  row('expand(Tensor self, SymInt[] size, *, bool implicit=False)', (c, { self, size }) => c.expand(self, size)),
  row('expand_as(Tensor self, Tensor other)', (c, { self, other }) => c.expand(self, c.sizes(other))),
  row('broadcast_to(Tensor self, SymInt[] size)', (c, { self, size }) => c.expand(self, size)),
  row('broadcast_tensors(Tensor[] tensors)', (c, { tensors }) => {
    const zeros = tensors.map((tensor) => c.op('Expand', [c.int64(0), c.vector(c.sizes(tensor))]));
    const shape = c.op('Shape', [zeros.reduce((a, b) => c.op('Add', [a, b]))]);
    return tensors.map((tensor) => c.op('Expand', [tensor, shape]));
  }),
  row('slice.Tensor(Tensor self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1)', (c, { self, dim, start, end, step }) =>
    sliceOf(c, self, dim, start, end, step)),
  row('narrow(Tensor self, int dim, SymInt start, SymInt length)', (c, { self, dim, start, length }) => {
    const axis = c.axis(dim, c.rank(self));
    const from = typeof start === 'number' && start < 0 ? c.math('Add', c.size(self, axis), start) : start;
    return sliceOf(c, self, axis, from, c.math('Add', from, length), 1);
  }),
  row('select.int(Tensor self, int dim, SymInt index)', (c, { self, dim, index }) => selectOf(c, self, dim, index)),
  row('split_with_sizes(Tensor self, SymInt[] split_sizes, int dim=0)', (c, { self, split_sizes, dim }) => splitSizes(c, self, split_sizes, dim)),
  row('split_with_sizes_copy(Tensor self, SymInt[] split_sizes, int dim=0)', (c, { self, split_sizes, dim }) => splitSizes(c, self, split_sizes, dim)),
  row('split.sizes(Tensor self, SymInt[] split_size, int dim=0)', (c, { self, split_size, dim }) => splitSizes(c, self, split_size, dim)),
  row('split.Tensor(Tensor self, SymInt split_size, int dim=0)', (c, { self, split_size, dim }) => splitEvery(c, self, split_size, dim)),
  row('chunk(Tensor self, int chunks, int dim=0)', (c, { self, chunks, dim }) => {
    const size = c.size(self, dim);
    if (typeof size !== 'number') throw c.unsupported('parts along an axis of unknown size');
    return splitEvery(c, self, Math.max(1, Math.ceil(size / chunks)), dim);
  }),
  row('tensor_split.sections(Tensor self, SymInt sections, int dim=0)', (c, { self, sections, dim }) => {
    const size = c.size(self, dim);
    if (typeof size !== 'number' || typeof sections !== 'number') throw c.unsupported('parts along an axis of unknown size');
    const least = Math.floor(size / sections);
    return splitSizes(c, self, Array.from({ length: c.count(sections, atenLimits.parts) }, (_, i) => least + Number(i < size % sections)), dim);
  }),
  row('unbind.int(Tensor self, int dim=0)', (c, { self, dim }) => unbind(c, self, dim)),
  row('cat(Tensor[] tensors, int dim=0)', (c, { tensors, dim }) => cat(c, tensors, dim)),
  row('concat(Tensor[] tensors, int dim=0)', (c, { tensors, dim }) => cat(c, tensors, dim)),
  row('stack(Tensor[] tensors, int dim=0)', (c, { tensors, dim }) => stack(c, tensors, dim)),
  row('hstack(Tensor[] tensors)', (c, { tensors }) => cat(c, tensors, c.rank(tensors[0]!) <= 1 ? 0 : 1)),
  row('vstack(Tensor[] tensors)', (c, { tensors }) => cat(c, tensors.map((x) => (c.rank(x) === 1 ? c.unsqueeze(x, [0]) : x)), 0)),
  row('repeat(Tensor self, SymInt[] repeats)', (c, { self, repeats }) => repeat(c, self, repeats)),
  row('tile(Tensor self, SymInt[] dims)', (c, { self, dims }) => {
    const missing = Math.max(0, c.rank(self) - dims.length);
    return repeat(c, self, [...new Array<number>(missing).fill(1), ...dims]);
  }),
  row('repeat_interleave.self_int(Tensor self, SymInt repeats, int? dim=None, *, SymInt? output_size=None)', (c, { self, repeats, dim }) => {
    const x = dim === null ? c.reshape(self, [-1]) : self;
    const rank = c.rank(x);
    const axis = c.axis(dim ?? 0, rank);
    const sizes = c.sizes(x);
    const spread = c.expand(c.unsqueeze(x, [axis + 1]), [...sizes.slice(0, axis + 1), repeats, ...sizes.slice(axis + 1)]);
    return c.reshape(spread, [...sizes.slice(0, axis), c.math('Mul', sizes[axis]!, repeats), ...sizes.slice(axis + 1)]);
  }),
  row('flip(Tensor self, int[] dims)', (c, { self, dims }) => flip(c, self, dims)),
  row('fliplr(Tensor self)', (c, { self }) => flip(c, self, [1])),
  row('flipud(Tensor self)', (c, { self }) => flip(c, self, [0])),
  row('roll(Tensor self, SymInt[1] shifts, int[1] dims=[])', (c, { self, shifts, dims }) => roll(c, self, shifts, dims)),
  row('constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0)', (c, { self, pad: pads, value }) => pad(c, self, pads, 'constant', c.tensor(value, c.dtype(self)))),
  row('pad(Tensor self, SymInt[] pad, str mode=constant, float? value=None)', (c, { self, pad: pads, mode, value }) => {
    const own = padModes[mode];
    if (!own) throw c.unsupported(`the mode ${mode}`);
    return pad(c, self, pads, own, own === 'constant' ? c.constant(c.dtype(self), value ?? 0) : null);
  }),
  ...['1d', '2d', '3d'].flatMap((rank) => [
    row(`reflection_pad${rank}(Tensor self, SymInt[] padding)`, (c, { self, padding }) => pad(c, self, padding, 'reflect')),
    row(`replication_pad${rank}(Tensor self, SymInt[] padding)`, (c, { self, padding }) => pad(c, self, padding, 'edge')),
  ]),
  row('_pad_circular(Tensor self, SymInt[] pad)', (c, { self, pad: pads }) => pad(c, self, pads, 'wrap')),
  row('unfold(Tensor self, int dimension, int size, int step)', (c, { self, dimension, size, step }) => unfold(c, self, dimension, size, step)),
  row('pixel_shuffle(Tensor self, int upscale_factor)', (c, { self, upscale_factor }) => shuffle(c, self, upscale_factor, true)),
  row('pixel_unshuffle(Tensor self, int downscale_factor)', (c, { self, downscale_factor }) => shuffle(c, self, downscale_factor, false)),
  row('channel_shuffle(Tensor self, SymInt groups)', (c, { self, groups }) => {
    const [n, channels, ...rest] = c.sizes(self) as [SymInt, SymInt, ...SymInt[]];
    const split = c.reshape(self, [n, groups, c.math('Div', channels, groups), ...rest]);
    return c.reshape(c.swap(split, 1, 2), [n, channels, ...rest]);
  }),
  row('meshgrid.default(Tensor[] tensors)', (c, { tensors }) => meshgrid(c, tensors, 'ij')),
  row('meshgrid.indexing(Tensor[] tensors, *, str indexing)', (c, { tensors, indexing }) => meshgrid(c, tensors, indexing)),
  row('atleast_1d(Tensor self)', (c, { self }) => (c.rank(self) === 0 ? c.unsqueeze(self, [0]) : self)),
  row('atleast_2d(Tensor self)', (c, { self }) => [[0, 1], [0], []][Math.min(2, c.rank(self))]!.reduce<Value>((x) => c.unsqueeze(x, [0]), self)),
];

function movedim(c: AtenContext, self: Value, source: readonly number[], destination: readonly number[]): Value {
  const rank = c.rank(self);
  const [from, to] = [c.axes(source, rank), c.axes(destination, rank)];
  const perm = new Array<number>(rank).fill(-1);
  from.forEach((axis, i) => (perm[to[i]!] = axis));
  const rest = c.axes(null, rank).filter((axis) => !from.includes(axis));
  return c.transpose(self, perm.map((axis) => (axis < 0 ? rest.shift()! : axis)));
}
