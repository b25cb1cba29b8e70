/** Reference kernels of operators that gather, scatter or choose elements. */
import type { OpName } from '../ops/lookup.js';
import { elementCount, normalizeAxis, type Shape, stridesOf } from '../shape.js';
import { arrayOf, type NdArray, numbers, reshaped, rounded, stridedIndex, take } from './array.js';
import type { Kernel, KernelContext } from './kernel.js';
import { part } from './movement.js';

/** out[…, i, …] = x[…, index[i], …] along an axis. */
export function gatherAxis(x: NdArray, axis: number, index: NdArray): NdArray {
  const size = x.shape[axis]!;
  const inner = elementCount(x.shape.slice(axis + 1));
  const outer = elementCount(x.shape.slice(0, axis));
  const rows = numbers(index);
  const shape = [...x.shape.slice(0, axis), ...index.shape, ...x.shape.slice(axis + 1)];
  const from = new Int32Array(elementCount(shape));
  let k = 0;
  for (let o = 0; o < outer; o++) {
    for (const row of rows) {
      const at = (o * size + (row < 0 ? row + size : row)) * inner;
      if (row >= size || row < -size) throw new RangeError(`index ${row} is outside an axis of size ${size}`);
      for (let i = 0; i < inner; i++) from[k++] = at + i;
    }
  }
  return take(x, shape, from);
}

/** Flat index of (…, index, …) in a shape, for every element of an index tensor. */
function elementIndex(shape: Shape, index: NdArray, axis: number): Int32Array {
  const strides = stridesOf(shape);
  const base = stridedIndex(index.shape, strides.map((stride, i) => (i === axis ? 0 : stride)));
  const size = shape[axis]!;
  return numbers(index).reduce((out, at, i) => ((out[i] = base[i]! + (at < 0 ? at + size : at) * strides[axis]!), out), new Int32Array(base.length));
}

/** How a scatter combines what is there with what comes. */
const combine: Readonly<Record<string, (old: number, update: number) => number>> = {
  none: (_, update) => update, add: (old, update) => old + update, mul: (old, update) => old * update, max: Math.max, min: Math.min,
};

function scatterInto(c: KernelContext, data: NdArray, at: (i: number) => number, updates: NdArray): NdArray {
  const name = c.node.string('reduction', 'none');
  if (name === 'none') {
    const out = data.data.slice() as Float64Array;
    for (let i = 0; i < updates.data.length; i++) out[at(i)] = (updates.data as Float64Array)[i]!;
    return arrayOf(data.dtype, data.shape, out);
  }
  const out = numbers(data).slice();
  const values = numbers(updates);
  for (let i = 0; i < values.length; i++) out[at(i)] = combine[name]!(out[at(i)]!, values[i]!);
  return rounded(data.dtype, data.shape, out);
}

const scatterElements: Kernel = (c) => {
  const [data, indices, updates] = [c.array(0), c.array(1), c.array(2)];
  const index = elementIndex(data.shape, indices, normalizeAxis(c.node.int('axis', 0), data.shape.length));
  return [scatterInto(c, data, (i) => index[i]!, updates)];
};

/** Flat start of each slice that an index tuple names, and the length of the slices. */
function tuples(data: NdArray, indices: NdArray, batch: number): { starts: Int32Array; inner: number } {
  const depth = indices.shape.at(-1)!;
  const strides = stridesOf(data.shape);
  const list = numbers(indices);
  const count = depth === 0 ? 0 : list.length / depth;
  const perBatch = count / elementCount(data.shape.slice(0, batch));
  const starts = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    let at = batch === 0 ? 0 : Math.floor(i / perBatch) * strides[batch - 1]!;
    for (let d = 0; d < depth; d++) {
      const given = list[i * depth + d]!;
      at += (given < 0 ? given + data.shape[batch + d]! : given) * strides[batch + d]!;
    }
    starts[i] = at;
  }
  return { starts, inner: elementCount(data.shape.slice(batch + depth)) };
}

export const gatherND: Kernel = (c) => {
  const [data, indices] = [c.array(0), c.array(1)];
  const batch = c.node.int('batch_dims', 0);
  const { starts, inner } = tuples(data, indices, batch);
  const shape = [...indices.shape.slice(0, -1), ...data.shape.slice(batch + indices.shape.at(-1)!)];
  return [take(data, shape, Int32Array.from({ length: starts.length * inner }, (_, i) => starts[Math.floor(i / inner)]! + (i % inner)))];
};

const scatterND: Kernel = (c) => {
  const [data, indices, updates] = [c.array(0), c.array(1), c.array(2)];
  const { starts, inner } = tuples(data, indices, 0);
  return [scatterInto(c, data, (i) => starts[Math.floor(i / inner)]! + (i % inner), updates)];
};

const oneHot: Kernel = (c) => {
  const [indices, values] = [c.array(0), c.array(2)];
  const depth = c.number(1, 0);
  const rank = indices.shape.length + 1;
  const axis = normalizeAxis(c.node.int('axis', -1), rank);
  const shape = [...indices.shape.slice(0, axis), depth, ...indices.shape.slice(axis)];
  const inner = elementCount(indices.shape.slice(axis));
  const list = numbers(indices);
  const index = Int32Array.from({ length: elementCount(shape) }, (_, i) => {
    const at = Math.floor(i / inner) % depth;
    const given = list[Math.floor(i / (inner * depth)) * inner + (i % inner)]!;
    return (given < 0 ? given + depth : given) === at ? 1 : 0;
  });
  return [take(values, shape, index)];
};

export const uniqueElements = (sorted: (c: KernelContext) => boolean): Kernel => (c) => {
  const given = c.array(0);
  const axis = c.node.int('axis');
  const flat = axis === undefined ? reshaped(given, [elementCount(given.shape)]) : given;
  const at = axis === undefined ? 0 : normalizeAxis(axis, given.shape.length);
  const count = flat.shape[at]!;
  const rows = Array.from({ length: count }, (_, i) => Array.from(part(flat, at, i, i + 1).data as ArrayLike<number | bigint | Uint8Array>));
  const keys = rows.map((row) => row.map(String).join('|'));
  const firsts = [...new Set(keys)].map((key) => keys.indexOf(key));
  const less = (a: number, b: number): number => {
    for (const [i, x] of rows[a]!.entries()) {
      const y = rows[b]![i]!;
      if (x < y) return -1;
      if (x > y) return 1;
    }
    return 0;
  };
  if (sorted(c)) firsts.sort(less);
  const inverse = keys.map((key) => firsts.findIndex((first) => keys[first] === key));
  const counts = firsts.map((_, i) => inverse.filter((which) => which === i).length);
  const list = (values: number[]): NdArray => rounded('int64', [values.length], values);
  return [gatherAxis(flat, at, list(firsts)), list(firsts), list(inverse), list(counts)];
};

const tensorScatter: Kernel = (c) => {
  const [past, update] = [c.array(0), c.array(1)];
  const rank = past.shape.length;
  const axis = normalizeAxis(c.node.int('axis', -2), rank);
  const circular = c.node.string('mode', 'linear') === 'circular';
  const writes = c.has(2) ? c.ints(2) : new Array<number>(past.shape[0]!).fill(0);
  const strides = stridesOf(past.shape);
  const updateStrides = stridesOf(update.shape);
  const out = past.data.slice() as Float64Array;
  for (let i = 0; i < update.data.length; i++) {
    const position = update.shape.map((dim, d) => Math.floor(i / updateStrides[d]!) % dim);
    position[axis]! += writes[position[0]!]!;
    if (circular) position[axis]! %= past.shape[axis]!;
    out[position.reduce((sum, at, d) => sum + at * strides[d]!, 0)] = (update.data as Float64Array)[i]!;
  }
  return [arrayOf(past.dtype, past.shape, out)];
};

export const selectKernels = {
  Gather: (c) => [gatherAxis(c.array(0), normalizeAxis(c.node.int('axis', 0), c.array(0).shape.length), c.array(1))],
  GatherND: gatherND,
  GatherElements(c) {
    const [x, index] = [c.array(0), c.array(1)];
    return [take(x, index.shape, elementIndex(x.shape, index, normalizeAxis(c.node.int('axis', 0), x.shape.length)))];
  },
  ScatterElements: scatterElements, Scatter: scatterElements, ScatterND: scatterND, TensorScatter: tensorScatter,
  Compress(c) {
    const x = c.array(0);
    const axis = c.node.int('axis');
    const kept = c.ints(1).flatMap((keep, i) => (keep ? [i] : []));
    const flat = axis === undefined ? reshaped(x, [elementCount(x.shape)]) : x;
    return [gatherAxis(flat, axis === undefined ? 0 : normalizeAxis(axis, x.shape.length), rounded('int64', [kept.length], kept))];
  },
  NonZero(c) {
    const { shape } = c.array(0);
    const strides = stridesOf(shape);
    const found = [...c.numbers(0)].flatMap((value, i) => (value !== 0 ? [i] : []));
    return [rounded('int64', [shape.length, found.length], strides.flatMap((stride, axis) => found.map((i) => Math.floor(i / stride) % shape[axis]!)))];
  },
  OneHot: oneHot, Unique: uniqueElements((c) => c.node.int('sorted', 1) === 1),
} satisfies Partial<Record<OpName, Kernel>>;
