/** Reference kernels of operators that make, move or select elements. */
import { dtypeOfOnnx } from '../dtype.js';
import { encodeText } from '../graph/attribute.js';
import type { OpName } from '../ops/lookup.js';
import { sliceBounds } from '../ops/slice-bounds.js';
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

export const trilu: Kernel = (c) => {
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
  Trilu: trilu, ReverseSequence: reverseSequence, Col2Im: col2im,
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
