/** Shape rules of operators that make, move or select elements. */
import { type DType, dtypeOfOnnx } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import { sliceBounds } from '../ops/slice-bounds.js';
import type { Dim } from '../shape.js';
import { addDims, broadcastAll, compatible, exactQuotient, floorDivideDims, mergeDims, multiplyDims, productOfDims, sameDim, subtractDims } from './dims.js';
import { constantValues, MAX_VALUES } from './constants.js';
import { axisIn, type Dims, type InferContext, type InferRule, likeInput, tensor, unknown, withDim } from './rule.js';

const constant: InferRule = (c) => {
  const { node } = c;
  const stored = node.tensor('value');
  if (stored) return [tensor(stored.dtype, stored.shape, constantValues(stored))];
  const sparse = node.attributes.get('sparse_value');
  if (sparse?.kind === 'sparseTensor') return [tensor(sparse.value.dtype, sparse.value.shape)];
  const int = node.int('value_int');
  if (int !== undefined) return [tensor('int64', [], [int])];
  const ints = node.ints('value_ints');
  if (ints) return [tensor('int64', [ints.length], ints.length <= MAX_VALUES ? ints : undefined)];
  const float = node.float('value_float');
  if (float !== undefined) return [tensor('float32', [], [float])];
  const floats = node.floats('value_floats');
  if (floats) return [tensor('float32', [floats.length], floats.length <= MAX_VALUES ? floats : undefined)];
  const strings = node.strings('value_strings');
  return [strings ? tensor('string', [strings.length]) : tensor('string', [])];
};

/** A shape given by the elements of an input; only its rank when the elements are computed. */
function shapeFrom(c: InferContext, index: number): Dims | undefined {
  const values = c.values(index);
  if (values) return values;
  const rank = c.shape(index)?.[0];
  return typeof rank === 'number' ? unknown(rank) : undefined;
}

const reshape: InferRule = (c) => {
  const shape = c.shape(0);
  const dtype = c.dtype(0);
  const wanted = shapeFrom(c, 1);
  if (!wanted) return [tensor(dtype)];
  const keepZero = c.node.int('allowzero', 0) === 0 && c.values(1) !== undefined;
  const out = wanted.map((dim, i): Dim => (dim === 0 && keepZero ? (shape?.[i] ?? null) : dim));
  const open = out.indexOf(-1);
  const holes = out.filter((dim) => dim === null).length;
  if (open >= 0) {
    const rest = out.filter((_, i) => i !== open);
    const quotient = shape && holes === 0 ? exactQuotient(productOfDims(shape), productOfDims(rest)) : undefined;
    if (shape && holes === 0 && quotient === undefined && !shape.includes(null)) {
      const numbers = [...shape, ...rest].every((dim) => typeof dim === 'number');
      if (numbers && !rest.includes(0)) c.gap(`[${shape.join(', ')}] does not reshape to [${wanted.join(', ')}]`);
    }
    out[open] = typeof quotient === 'number' && quotient < 0 ? null : (quotient ?? divideCommon(shape, rest));
  } else if (holes === 1 && shape && c.values(1)) {
    const rest = out.filter((dim) => dim !== null);
    out[out.indexOf(null)] = exactQuotient(productOfDims(shape), productOfDims(rest)) ?? null;
  }
  return [tensor(dtype, out, c.values(0))];
};

/** Product over product with the dimensions that appear in both left out, so that an unknown in both may cancel. */
function divideCommon(shape: Dims | undefined, rest: readonly Dim[]): Dim {
  if (!shape) return null;
  const above = [...shape];
  const below = rest.filter((dim) => {
    const at = above.findIndex((other) => sameDim(other, dim));
    if (at >= 0) above.splice(at, 1);
    return at < 0;
  });
  return exactQuotient(productOfDims(above), productOfDims(below)) ?? null;
}

export const concat: InferRule = (c) => {
  const dtype = Array.from({ length: c.inputCount }, (_, i) => c.dtype(i)).find((d) => d !== undefined);
  const shapes = Array.from({ length: c.inputCount }, (_, i) => c.shape(i));
  const ranked = shapes.find((shape) => shape !== undefined);
  if (!ranked) return [tensor(dtype)];
  const axis = axisIn(c.node.int('axis', 0), ranked.length);
  if (axis === undefined) return [tensor(dtype, unknown(ranked.length))];
  let out: Dim[] = [...ranked];
  let total: Dim = 0;
  for (const shape of shapes) {
    if (shape && shape.length !== ranked.length) c.gap(`ranks ${ranked.length} and ${shape.length} are concatenated`);
    total = addDims(total, shape?.[axis] ?? null);
    out = out.map((dim, i) => {
      if (shape && i !== axis && !compatible(dim, shape[i] ?? null)) c.gap(`sizes ${dim} and ${shape[i]} differ on axis ${i}`);
      return mergeDims(dim, shape?.[i] ?? null);
    });
  }
  const lists = Array.from({ length: c.inputCount }, (_, i) => c.values(i) ?? unknownElements(c.shape(i)));
  const known = ranked.length === 1 && lists.every((list) => list !== undefined) && lists.some((list) => list.some((x) => x !== null));
  return [tensor(dtype, withDim(out, axis, total), known ? lists.flatMap((list) => list) : undefined)];
};

/** Unknown elements of a short vector: the others of a concatenation may still be known. */
function unknownElements(shape: Dims | undefined): Dims | undefined {
  const [size] = shape ?? [];
  return shape?.length === 1 && typeof size === 'number' && size <= 16 ? unknown(size) : undefined;
}

const gather: InferRule = (c) => {
  const data = c.shape(0);
  const indices = c.shape(1);
  const axis = data && axisIn(c.node.int('axis', 0), data.length);
  if (!data || !indices || axis === undefined) return [tensor(c.dtype(0))];
  const out = [...data.slice(0, axis), ...indices, ...data.slice(axis + 1)];
  const values = c.values(0);
  const picked = data.length === 1 && values ? c.numbers(1)?.map((i) => values.at(i) ?? null) : undefined;
  return [tensor(c.dtype(0), out, picked)];
};

/** Length of start:end:step over `size`; bounds saturate as ONNX says. */
function sliceLength(size: Dim, start: Dim, end: Dim, step: number, strict: boolean): Dim {
  if (typeof size === 'number' && typeof start === 'number' && typeof end === 'number') {
    const [from, to] = sliceBounds(size, start, end, step);
    return Math.max(0, Math.ceil((to - from) / step));
  }
  if (step < 0) return step === -1 && isWhole(start, end, size) ? size : null;
  const from = bound(start, size, strict);
  const to = bound(end, size, strict);
  if (from === undefined || to === undefined) return null;
  const length = subtractDims(to, from);
  if (typeof length === 'number' && length < 0) return 0;
  return step === 1 ? length : floorDivideDims(addDims(length, step - 1), step);
}

/** A slice bound on a symbolic axis; undefined where it cannot be told whether it saturates. */
function bound(at: Dim, size: Dim, strict: boolean): Dim | undefined {
  if (typeof at === 'number') {
    if (at >= 2 ** 31 - 1) return size;
    if (at < -(2 ** 31)) return 0;
    if (at === 0) return 0;
    // Strictly, only that there is at least one element.
    if (strict && at !== -1 && typeof size !== 'number') return undefined;
    // A bound beyond a symbolic size would saturate; exporters do not slice beyond what they know is there.
    return at < 0 ? addDims(size, at) : typeof size === 'number' ? Math.min(at, size) : at;
  }
  if (strict && !sameDim(at, size)) return undefined;
  return at ?? undefined;
}

function isWhole(start: Dim, end: Dim, size: Dim): boolean {
  return size !== null && start === -1 && typeof end === 'number' && end < -(2 ** 31);
}

const slice: InferRule = (c) => {
  const shape = c.shape(0);
  const dtype = c.dtype(0);
  if (!shape) return [tensor(dtype)];
  const { node } = c;
  // Attributes before opset 10.
  const starts = node.ints('starts') ?? c.values(1);
  const ends = node.ints('ends') ?? c.values(2);
  const axes = c.has(3) ? c.numbers(3) : node.ints('axes') ?? starts?.map((_, i) => i);
  const steps = c.has(4) ? c.numbers(4) : starts?.map(() => 1);
  if (!axes) return [tensor(dtype, unknown(shape.length))];
  const out = [...shape];
  for (const [i, given] of axes.entries()) {
    const axis = axisIn(given, shape.length);
    if (axis === undefined) c.gap(`axis ${given} is outside rank ${shape.length}`);
    else out[axis] = steps && steps[i] !== 0 ? sliceLength(shape[axis]!, starts?.[i] ?? null, ends?.[i] ?? null, steps[i]!, c.strict) : null;
  }
  const values = c.values(0);
  const from = node.ints('starts')?.[0] ?? c.numbers(1)?.[0];
  const to = node.ints('ends')?.[0] ?? c.numbers(2)?.[0];
  let picked: Dim[] | undefined;
  if (values && shape.length === 1 && from !== undefined && to !== undefined && steps?.[0]) {
    picked = [];
    const [first, last] = sliceBounds(values.length, from, to, steps[0]);
    for (let i = first; steps[0] > 0 ? i < last : i > last; i += steps[0]) picked.push(values[i]!);
  }
  return [tensor(dtype, out, picked)];
};

const split: InferRule = (c) => {
  const shape = c.shape(0);
  const count = c.outputCount;
  const axis = shape && axisIn(c.node.int('axis', 0), shape.length);
  if (!shape || axis === undefined) return Array.from({ length: count }, () => tensor(c.dtype(0)));
  const size = shape[axis]!;
  const given = c.has(1) ? (c.values(1) ?? unknown(count)) : c.node.ints('split');
  const each = typeof size === 'number' ? Math.ceil(size / count) : (exactQuotient(size, count) ?? null);
  const sizes = given ?? Array.from({ length: count }, (_, i): Dim =>
    (typeof size === 'number' && typeof each === 'number' && i === count - 1 ? size - each * (count - 1) : each));
  const values = shape.length === 1 && sizes.every((s) => typeof s === 'number') ? c.values(0) : undefined;
  let at = 0;
  return Array.from({ length: count }, (_, i) => {
    const part = sizes[i] ?? null;
    const from = at;
    at += typeof part === 'number' ? part : 0;
    return tensor(c.dtype(0), withDim(shape, axis, part), values?.slice(from, at));
  });
};

/** Axes as an input since opset 13, as an attribute before. */
function axesOf(c: InferContext): readonly number[] | undefined {
  return c.has(1) ? c.numbers(1) : c.node.ints('axes');
}

const squeeze: InferRule = (c) => {
  const shape = c.shape(0);
  const axes = axesOf(c);
  if (!shape || (c.has(1) && !axes)) return [tensor(c.dtype(0))];
  if (!axes && shape.some((dim) => typeof dim !== 'number')) return [tensor(c.dtype(0))];
  const gone = axes ? new Set(axes.map((axis) => axisIn(axis, shape.length))) : new Set(shape.flatMap((dim, i) => (dim === 1 ? [i] : [])));
  return [tensor(c.dtype(0), shape.filter((_, i) => !gone.has(i)), c.values(0))];
};

const unsqueeze: InferRule = (c) => {
  const shape = c.shape(0);
  const axes = axesOf(c);
  if (!shape) return [tensor(c.dtype(0))];
  if (!axes) {
    const count = c.shape(1)?.[0];
    return [tensor(c.dtype(0), typeof count === 'number' ? unknown(shape.length + count) : undefined)];
  }
  const rank = shape.length + axes.length;
  const made = new Set(axes.map((axis) => axisIn(axis, rank)));
  const rest = [...shape];
  return [tensor(c.dtype(0), Array.from({ length: rank }, (_, i) => (made.has(i) ? 1 : rest.shift()!)), c.values(0))];
};

const transpose: InferRule = (c) => {
  const shape = c.shape(0);
  const perm = c.node.ints('perm');
  if (!shape) return [tensor(c.dtype(0), perm && unknown(perm.length))];
  const order = perm ?? [...shape.keys()].reverse();
  if (order.length !== shape.length) c.gap(`perm has ${order.length} axes, the input ${shape.length}`);
  return [tensor(c.dtype(0), order.map((axis) => shape[axis] ?? null), shape.length <= 1 ? c.values(0) : undefined)];
};

const expand: InferRule = (c) => {
  const wanted = shapeFrom(c, 1);
  const out = wanted && broadcastAll([c.shape(0), wanted]);
  if (!out && wanted && c.shape(0)) c.gap('the input does not expand to the shape');
  const [one] = c.values(0) ?? [];
  const count = out?.reduce<Dim>(multiplyDims, 1);
  const filled = one !== undefined && c.values(0)?.length === 1 && typeof count === 'number' && count <= MAX_VALUES;
  return [tensor(c.dtype(0), out, filled ? new Array<Dim>(count).fill(one) : undefined)];
};

const shape: InferRule = (c) => {
  const of = c.shape(0);
  if (!of) return [tensor('int64', [null])];
  const [from, to] = sliceBounds(of.length, c.node.int('start', 0), c.node.int('end', of.length), 1);
  const dims = of.slice(from, Math.max(from, to));
  return [tensor('int64', [dims.length], dims)];
};

const constantOfShape: InferRule = (c) => {
  const stored = c.node.tensor('value');
  const dims = shapeFrom(c, 0);
  const value = stored ? constantValues(stored)?.[0] : 0;
  const count = dims?.reduce<Dim>(multiplyDims, 1);
  const short = typeof count === 'number' && count <= MAX_VALUES && value !== undefined;
  return [tensor(stored?.dtype ?? 'float32', dims, short ? new Array<Dim>(count).fill(value) : undefined)];
};

export const range: InferRule = (c) => {
  const dtype = c.dtype(0) ?? c.dtype(1);
  const [start, limit, delta] = [c.values(0)?.[0] ?? null, c.values(1)?.[0] ?? null, c.values(2)?.[0] ?? null];
  if (typeof start === 'number' && typeof limit === 'number' && typeof delta === 'number' && delta !== 0) {
    const count = Math.max(0, Math.ceil((limit - start) / delta));
    const list = count <= MAX_VALUES ? Array.from({ length: count }, (_, i) => start + i * delta) : undefined;
    return [tensor(dtype, [count], list)];
  }
  return [tensor(dtype, [delta === 1 ? subtractDims(limit, start) : null])];
};

export const pad: InferRule = (c) => {
  const shape = c.shape(0);
  if (!shape) return [tensor(c.dtype(0))];
  const pads = c.has(1) ? c.values(1) : c.node.ints('pads');
  const axes = c.has(3) ? c.numbers(3) : [...shape.keys()];
  if (!pads || !axes) return [tensor(c.dtype(0), unknown(shape.length))];
  const out = [...shape];
  axes.forEach((given, i) => {
    const axis = axisIn(given, shape.length);
    if (axis !== undefined) out[axis] = addDims(shape[axis]!, addDims(pads[i] ?? null, pads[i + axes.length] ?? null));
  });
  return [tensor(c.dtype(0), out)];
};

const tile: InferRule = (c) => {
  const dims = c.shape(0);
  const repeats = c.values(1);
  const [count] = c.values(0)?.length === 1 ? (repeats ?? []) : [];
  const values = typeof count === 'number' && dims?.length === 1 && count <= MAX_VALUES ? new Array<Dim>(count).fill(c.values(0)![0]!) : undefined;
  return [tensor(c.dtype(0), dims?.map((dim, i) => multiplyDims(dim, repeats?.[i] ?? null)), values)];
};

export const gatherND: InferRule = (c) => {
  const data = c.shape(0);
  const indices = c.shape(1);
  const batch = c.node.int('batch_dims', 0);
  const depth = indices?.at(-1);
  if (!data || !indices || typeof depth !== 'number') return [tensor(c.dtype(0))];
  return [tensor(c.dtype(0), [...indices.slice(0, -1), ...data.slice(batch + depth)])];
};

/** Depth to space multiplies the last two sizes by the block and divides the channels; the reverse the other way. */
const blockShuffle = (wider: boolean): InferRule => (c) => {
  const block = c.node.int('blocksize', 1);
  const dims = c.shape(0);
  if (dims?.length !== 4) return [tensor(c.dtype(0), unknown(4))];
  const [n, channels, h, w] = dims as [Dim, Dim, Dim, Dim];
  const grow = (dim: Dim, by: number): Dim => multiplyDims(dim, by);
  const shrink = (dim: Dim, by: number): Dim => floorDivideDims(dim, by);
  return [tensor(c.dtype(0), wider
    ? [n, shrink(channels, block * block), grow(h, block), grow(w, block)]
    : [n, grow(channels, block * block), shrink(h, block), shrink(w, block)])];
};

export const unique: InferRule = (c) => {
  const dims = c.shape(0);
  const axis = c.node.int('axis');
  const at = dims && axis !== undefined ? axisIn(axis, dims.length) : undefined;
  const out = axis === undefined ? [null] : dims && at !== undefined ? withDim(dims, at, null) : undefined;
  return [tensor(c.dtype(0), out), ...['', '', ''].map(() => tensor('int64', [null]))];
};

const eyeLike: InferRule = (c) => {
  const code = c.node.int('dtype');
  const dtype: DType | undefined = code === undefined ? c.dtype(0) : dtypeOfOnnx.get(code);
  return [tensor(dtype, c.shape(0))];
};

export const movementRules = {
  Constant: constant, ConstantOfShape: constantOfShape, Range: range, EyeLike: eyeLike,
  Shape: shape,
  Size(c) {
    const dims = c.shape(0);
    const total = dims ? productOfDims(dims) : null;
    return [tensor('int64', [], total === null ? undefined : [total])];
  },
  Reshape: reshape, Transpose: transpose, Squeeze: squeeze, Unsqueeze: unsqueeze, Expand: expand, Tile: tile,
  Flatten(c) {
    const dims = c.shape(0);
    if (!dims) return [tensor(c.dtype(0), unknown(2))];
    const axis = c.node.int('axis', 1);
    const at = axis < 0 ? axis + dims.length : axis;
    return [tensor(c.dtype(0), [productOfDims(dims.slice(0, at)), productOfDims(dims.slice(at))])];
  },
  Concat: concat, Split: split, Slice: slice, Pad: pad,
  CenterCropPad(c) {
    const dims = c.shape(0);
    const axes = c.node.ints('axes') ?? dims?.map((_, i) => i);
    const target = c.values(1);
    const out = dims?.map((dim, i) => {
      const at = axes!.findIndex((axis) => axisIn(axis, dims.length) === i);
      return at < 0 ? dim : (target?.[at] ?? null);
    });
    return [tensor(c.dtype(0), out)];
  },
  Gather: gather, GatherND: gatherND,
  GatherElements: (c) => [tensor(c.dtype(0), c.shape(1))],
  Scatter: likeInput, ScatterElements: likeInput, ScatterND: likeInput, TensorScatter: likeInput, Trilu: likeInput, ReverseSequence: likeInput,
  Compress(c) {
    const dims = c.shape(0);
    const axis = c.node.int('axis');
    const at = dims && axis !== undefined ? axisIn(axis, dims.length) : undefined;
    return [tensor(c.dtype(0), axis === undefined ? [null] : dims && at !== undefined ? withDim(dims, at, null) : undefined)];
  },
  NonZero: (c) => [tensor('int64', [c.shape(0)?.length ?? null, null])],
  OneHot(c) {
    const dims = c.shape(0);
    if (!dims) return [tensor(c.dtype(2))];
    const axis = axisIn(c.node.int('axis', -1), dims.length + 1) ?? dims.length;
    return [tensor(c.dtype(2), [...dims.slice(0, axis), c.values(1)?.[0] ?? null, ...dims.slice(axis)])];
  },
  DepthToSpace: blockShuffle(true), SpaceToDepth: blockShuffle(false),
  Unique: unique,
  Col2Im(c) {
    const dims = c.shape(0);
    const image = shapeFrom(c, 1);
    const block = c.values(2);
    const channels = dims?.[1] !== undefined && block ? exactQuotient(dims[1], productOfDims(block)) : undefined;
    return [tensor(c.dtype(0), image && [dims?.[0] ?? null, channels ?? null, ...image])];
  },
} satisfies Partial<Record<OpName, InferRule>>;
