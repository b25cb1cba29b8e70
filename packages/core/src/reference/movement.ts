/** Reference kernels of operators that make, move or select elements. */
import { dtypeOfOnnx } from '../dtype.js';
import { encodeText } from '../graph/attribute.js';
import type { OpName } from '../ops/lookup.js';
import { sliceBounds } from '../infer/movement.js';
import { broadcastShapes, elementCount, normalizeAxis, type Shape, stridesOf } from '../shape.js';
import { allocate, arrayOf, expanded, type NdArray, numbers, permuted, reshaped, rounded, stridedIndex, take } from './array.js';
import type { Kernel, KernelContext } from './kernel.js';

const constant: Kernel = (c) => {
  const { node } = c;
  const stored = c.attribute('value') ?? c.attribute('sparse_value');
  if (stored) return [stored];
  const [int, ints, float, floats] = [node.int('value_int'), node.ints('value_ints'), node.float('value_float'), node.floats('value_floats')];
  if (int !== undefined) return [rounded('int64', [], [int])];
  if (ints) return [rounded('int64', [ints.length], ints)];
  if (float !== undefined) return [rounded('float32', [], [float])];
  if (floats) return [rounded('float32', [floats.length], floats)];
  const strings = node.strings('value_strings');
  if (strings) return [arrayOf('string', [strings.length], strings.map(encodeText))];
  return [arrayOf('string', [], [encodeText(node.string('value_string', ''))])];
};

const reshape: Kernel = (c) => {
  const x = c.array(0);
  const zero = c.node.int('allowzero', 0) === 1;
  const wanted = (c.node.ints('shape') ?? c.ints(1)).map((dim, i) => (dim === 0 && !zero ? x.shape[i]! : dim));
  const rest = wanted.filter((dim) => dim !== -1).reduce((a, b) => a * b, 1);
  return [reshaped(x, wanted.map((dim) => (dim === -1 ? (rest === 0 ? 0 : elementCount(x.shape) / rest) : dim)))];
};

export function concatenate(list: readonly NdArray[], axis: number): NdArray {
  const first = list[0]!;
  const at = normalizeAxis(axis, first.shape.length);
  const shape = first.shape.map((dim, i) => (i === at ? list.reduce((sum, x) => sum + x.shape[at]!, 0) : dim));
  const out = allocate(first.dtype, elementCount(shape)) as Float64Array;
  const strides = stridesOf(shape);
  let offset = 0;
  for (const x of list) {
    const index = stridedIndex(x.shape, strides, offset * strides[at]!);
    const from = x.data as Float64Array;
    for (let i = 0; i < index.length; i++) out[index[i]!] = from[i]!;
    offset += x.shape[at]!;
  }
  return arrayOf(first.dtype, shape, out);
}

/** A contiguous or strided part: `starts` and `steps` for every axis. */
export function strided(x: NdArray, shape: Shape, starts: readonly number[], steps: readonly number[]): NdArray {
  const strides = stridesOf(x.shape);
  const start = starts.reduce((sum, at, axis) => sum + at * strides[axis]!, 0);
  return take(x, shape, stridedIndex(shape, strides.map((stride, axis) => stride * steps[axis]!), start));
}

/** Elements [from, to) of one axis. */
export function part(x: NdArray, axis: number, from: number, to: number): NdArray {
  const shape = x.shape.map((dim, i) => (i === axis ? to - from : dim));
  return strided(x, shape, x.shape.map((_, i) => (i === axis ? from : 0)), x.shape.map(() => 1));
}

const slice: Kernel = (c) => {
  const x = c.array(0);
  const { node } = c;
  const starts = node.ints('starts') ?? c.ints(1);
  const ends = node.ints('ends') ?? c.ints(2);
  const axes = node.ints('axes') ?? (c.has(3) ? c.ints(3) : starts.map((_, i) => i));
  const steps = c.has(4) ? c.ints(4) : starts.map(() => 1);
  const shape = [...x.shape];
  const from = shape.map(() => 0);
  const by = shape.map(() => 1);
  axes.forEach((given, i) => {
    const axis = normalizeAxis(given, shape.length);
    const [first, last] = sliceBounds(x.shape[axis]!, starts[i]!, ends[i]!, steps[i]!);
    shape[axis] = Math.max(0, Math.ceil((last - first) / steps[i]!));
    from[axis] = first;
    by[axis] = steps[i]!;
  });
  return [strided(x, shape, from, by)];
};

const split: Kernel = (c) => {
  const x = c.array(0);
  const axis = normalizeAxis(c.node.int('axis', 0), x.shape.length);
  const total = x.shape[axis]!;
  const count = c.node.outputs.length;
  const each = Math.ceil(total / count);
  const sizes = c.has(1) ? c.ints(1) : (c.node.ints('split') ?? Array.from({ length: count }, (_, i) => Math.max(0, Math.min(each, total - i * each))));
  let at = 0;
  return sizes.map((size) => part(x, axis, at, (at += size)));
};

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

/** Where a padded position reads from, by mode; -1 is the constant. */
const padIndex: Readonly<Record<string, (at: number, size: number) => number>> = {
  constant: (at, size) => (at < 0 || at >= size ? -1 : at),
  edge: (at, size) => Math.min(Math.max(at, 0), size - 1),
  wrap: (at, size) => ((at % size) + size) % size,
  reflect(at, size) {
    if (size === 1) return 0;
    const period = 2 * (size - 1);
    const folded = ((at % period) + period) % period;
    return folded < size ? folded : period - folded;
  },
};

export const pad: Kernel = (c) => {
  const x = c.array(0);
  const rank = x.shape.length;
  const given = c.node.ints('pads') ?? c.ints(1);
  const axes = c.has(3) ? c.ints(3).map((axis) => normalizeAxis(axis, rank)) : x.shape.map((_, i) => i);
  const [before, after] = [new Array<number>(rank).fill(0), new Array<number>(rank).fill(0)];
  axes.forEach((axis, i) => {
    before[axis] = given[i]!;
    after[axis] = given[i + axes.length]!;
  });
  const shape = x.shape.map((dim, i) => dim + before[i]! + after[i]!);
  const from = padIndex[c.node.string('mode', 'constant')]!;
  const strides = stridesOf(x.shape);
  const count = elementCount(shape);
  const index = new Int32Array(count);
  const position = new Array<number>(rank).fill(0);
  for (let i = 0; i < count; i++) {
    let at = 0;
    for (let axis = 0; axis < rank && at >= 0; axis++) {
      const source = from(position[axis]! - before[axis]!, x.shape[axis]!);
      at = source < 0 ? -1 : at + source * strides[axis]!;
    }
    index[i] = at;
    for (let axis = rank - 1; axis >= 0 && ++position[axis]! === shape[axis]; axis--) position[axis] = 0;
  }
  const value = c.node.float('value');
  return [take(x, shape, index, c.optional(2) ?? (value === undefined ? undefined : rounded(x.dtype, [], [value])))];
};

const centerCropPad: Kernel = (c) => {
  let x = c.array(0);
  const rank = x.shape.length;
  const axes = (c.node.ints('axes') ?? x.shape.map((_, i) => i)).map((axis) => normalizeAxis(axis, rank));
  c.ints(1).forEach((target, i) => {
    const axis = axes[i]!;
    const dim = x.shape[axis]!;
    if (target < dim) {
      const from = Math.floor((dim - target) / 2);
      x = part(x, axis, from, from + target);
    } else if (target > dim) {
      const before = Math.floor((target - dim) / 2);
      const zeros = (count: number): NdArray => {
        const shape = x.shape.map((size, k) => (k === axis ? count : size));
        return arrayOf(x.dtype, shape, allocate(x.dtype, elementCount(shape)));
      };
      x = concatenate([zeros(before), x, zeros(target - dim - before)], axis);
    }
  });
  return [x];
};

const tile: Kernel = (c) => {
  const x = c.array(0);
  const repeats = c.ints(1);
  return [repeats.reduce((out, times, axis) => (times === 1 ? out : times === 0 ? part(out, axis, 0, 0) : concatenate(new Array<NdArray>(times).fill(out), axis)), x)];
};

const trilu: Kernel = (c) => {
  const x = c.array(0);
  const [rows, cols] = [x.shape.at(-2)!, x.shape.at(-1)!];
  const k = c.number(1, 0);
  const upper = c.node.int('upper', 1) === 1;
  const index = Int32Array.from({ length: elementCount(x.shape) }, (_, i) => {
    const [row, col] = [Math.floor(i / cols) % rows, i % cols];
    return (upper ? col - row >= k : col - row <= k) ? i : -1;
  });
  return [take(x, x.shape, index)];
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

const reverseSequence: Kernel = (c) => {
  const x = c.array(0);
  const lengths = c.ints(1);
  const [batchAxis, timeAxis] = [c.node.int('batch_axis', 1), c.node.int('time_axis', 0)];
  const strides = stridesOf(x.shape);
  const index = Int32Array.from({ length: elementCount(x.shape) }, (_, i) => {
    const batch = Math.floor(i / strides[batchAxis]!) % x.shape[batchAxis]!;
    const time = Math.floor(i / strides[timeAxis]!) % x.shape[timeAxis]!;
    return time < lengths[batch]! ? i + (lengths[batch]! - 1 - 2 * time) * strides[timeAxis]! : i;
  });
  return [take(x, x.shape, index)];
};

const unique: Kernel = (c) => {
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
  if (c.node.int('sorted', 1) === 1) firsts.sort(less);
  const inverse = keys.map((key) => firsts.findIndex((first) => keys[first] === key));
  const counts = firsts.map((_, i) => inverse.filter((which) => which === i).length);
  const list = (values: number[]): NdArray => rounded('int64', [values.length], values);
  return [gatherAxis(flat, at, list(firsts)), list(firsts), list(inverse), list(counts)];
};

const col2im: Kernel = (c) => {
  const x = c.array(0);
  const [image, block] = [c.ints(1), c.ints(2)];
  const n = image.length;
  const [dilations, pads, strides] = [c.node.ints('dilations') ?? image.map(() => 1), c.node.ints('pads') ?? image.flatMap(() => [0, 0]), c.node.ints('strides') ?? image.map(() => 1)];
  const kernel = elementCount(block);
  const channels = x.shape[1]! / kernel;
  const steps = image.map((dim, i) => Math.floor((dim + pads[i]! + pads[i + n]! - dilations[i]! * (block[i]! - 1) - 1) / strides[i]!) + 1);
  const [blockStrides, stepStrides, imageStrides] = [stridesOf(block), stridesOf(steps), stridesOf(image)];
  const out = new Float64Array(x.shape[0]! * channels * elementCount(image));
  const values = numbers(x);
  const windows = x.shape[2]!;
  for (let row = 0; row < x.shape[0]! * channels * kernel; row++) {
    const k = row % kernel;
    for (let w = 0; w < windows; w++) {
      let at = Math.floor(row / kernel) * elementCount(image);
      for (let i = 0; i < n && at >= 0; i++) {
        const position = (Math.floor(w / stepStrides[i]!) % steps[i]!) * strides[i]! - pads[i]! + (Math.floor(k / blockStrides[i]!) % block[i]!) * dilations[i]!;
        at = position < 0 || position >= image[i]! ? -1 : at + position * imageStrides[i]!;
      }
      if (at >= 0) out[at]! += values[row * windows + w]!;
    }
  }
  return [rounded(x.dtype, [x.shape[0]!, channels, ...image], out)];
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

function squeezed(c: KernelContext): NdArray {
  const x = c.array(0);
  const given = c.has(1) ? c.ints(1) : c.node.ints('axes');
  const gone = given ? given.map((axis) => normalizeAxis(axis, x.shape.length)) : x.shape.flatMap((dim, i) => (dim === 1 ? [i] : []));
  return reshaped(x, x.shape.filter((_, i) => !gone.includes(i)));
}

function unsqueezed(c: KernelContext): NdArray {
  const x = c.array(0);
  const axes = c.has(1) ? c.ints(1) : (c.node.ints('axes') ?? []);
  const rank = x.shape.length + axes.length;
  const made = new Set(axes.map((axis) => normalizeAxis(axis, rank)));
  const rest = [...x.shape];
  return reshaped(x, Array.from({ length: rank }, (_, i) => (made.has(i) ? 1 : rest.shift()!)));
}

export const movementKernels = {
  Constant: constant,
  ConstantOfShape(c) {
    const value = c.attribute('value') ?? rounded('float32', [1], [0]);
    const shape = c.ints(0);
    return [take(value, shape, new Int32Array(elementCount(shape)))];
  },
  Range(c) {
    const [start, limit, delta] = [c.number(0, 0), c.number(1, 0), c.number(2, 1)];
    const count = Math.max(0, Math.ceil((limit - start) / delta));
    return [rounded(c.array(0).dtype, [count], Float64Array.from({ length: count }, (_, i) => start + i * delta))];
  },
  EyeLike(c) {
    const x = c.array(0);
    const cols = x.shape[1]!;
    const code = c.node.int('dtype');
    const k = c.node.int('k', 0);
    return [rounded((code === undefined ? undefined : dtypeOfOnnx.get(code)) ?? x.dtype, x.shape, Float64Array.from({ length: elementCount(x.shape) }, (_, i) => Number((i % cols) - Math.floor(i / cols) === k)))];
  },
  Shape(c) {
    const { shape } = c.array(0);
    const [from, to] = sliceBounds(shape.length, c.node.int('start', 0), c.node.int('end', shape.length), 1);
    const dims = shape.slice(from, Math.max(from, to));
    return [rounded('int64', [dims.length], dims)];
  },
  Size: (c) => [rounded('int64', [], [elementCount(c.array(0).shape)])],
  Reshape: reshape,
  Transpose(c) {
    const x = c.array(0);
    return [permuted(x, c.node.ints('perm') ?? x.shape.map((_, i) => i).reverse())];
  },
  Squeeze: (c) => [squeezed(c)], Unsqueeze: (c) => [unsqueezed(c)],
  Flatten(c) {
    const x = c.array(0);
    const axis = c.node.int('axis', 1);
    const at = axis < 0 ? axis + x.shape.length : axis;
    return [reshaped(x, [elementCount(x.shape.slice(0, at)), elementCount(x.shape.slice(at))])];
  },
  Expand: (c) => [expanded(c.array(0), broadcastShapes(c.array(0).shape, c.ints(1)))],
  Tile: tile, Concat: (c) => [concatenate(c.arrays(), c.node.int('axis', 0))],
  Split: split, Slice: slice, Pad: pad, CenterCropPad: centerCropPad,
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
  OneHot: oneHot, Trilu: trilu, ReverseSequence: reverseSequence, Unique: unique, Col2Im: col2im,
  DepthToSpace(c) {
    const x = c.array(0);
    const [n, channels, h, w] = x.shape as [number, number, number, number];
    const b = c.node.int('blocksize', 1);
    const deep = channels / (b * b);
    const crd = c.node.string('mode', 'DCR') === 'CRD';
    const parts = crd ? permuted(reshaped(x, [n, deep, b, b, h, w]), [0, 1, 4, 2, 5, 3]) : permuted(reshaped(x, [n, b, b, deep, h, w]), [0, 3, 4, 1, 5, 2]);
    return [reshaped(parts, [n, deep, h * b, w * b])];
  },
  SpaceToDepth(c) {
    const x = c.array(0);
    const [n, channels, h, w] = x.shape as [number, number, number, number];
    const b = c.node.int('blocksize', 1);
    return [reshaped(permuted(reshaped(x, [n, channels, h / b, b, w / b, b]), [0, 3, 5, 1, 2, 4]), [n, channels * b * b, h / b, w / b])];
  },
} satisfies Partial<Record<OpName, Kernel>>;
