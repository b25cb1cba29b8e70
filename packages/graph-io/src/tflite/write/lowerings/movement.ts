/** Operators that move elements: joining, cutting, reshaping, looking up. */
import { denseOf, type Dim, elementCount, lazy, type Node, normalizeAxis } from '@penjing/core';
import type { LayoutWish } from '../assign-layouts.js';
import { hasLayouts, permutationOf, permute, physicalShape } from '../layouts.js';
import { type LowerContext, shapeOf } from '../lower-context.js';
import type { Lowering } from '../lowering.js';
import { fixedShape, type TfTensor } from '../tf-graph.js';
import { sliceBounds } from './slice-bounds.js';

/** Any order when input and output have the same axes. */
const imageWish = (node: Node): LayoutWish => (hasLayouts(shapeOf(node.input(0)!, node).length) ? 'any' : 'first');

const reshape: Lowering = {
  reads: [0],
  lower(c) {
    const shape = c.outShape();
    if (shape.filter((dim) => typeof dim !== 'number').length > 1) c.failOpen(c.node.output());
    c.set(c.reshape(c.input(0), shape));
  },
};

const perms = (node: Node): number[] => {
  const { length } = shapeOf(node.input(0)!, node);
  return node.ints('perm') ?? Array.from({ length }, (_, i) => length - 1 - i);
};

export const movement = {
  Identity: { layout: imageWish, reads: [0], lower: (c) => c.set(c.reshape(c.input(0), c.input(0).shape)) },
  Reshape: reshape,
  Flatten: reshape,
  Squeeze: reshape,
  Unsqueeze: reshape,
  Transpose: {
    layout(node) {
      const perm = perms(node).join();
      if (perm === '0,2,3,1' || (perm === '0,2,1' && hasLayouts(3))) return { input: 'last', output: 'first' };
      if (perm === '0,3,1,2') return { input: 'first', output: 'last' };
      return 'first';
    },
    lower(c) {
      const perm = perms(c.node);
      const x = c.input(0);
      const rank = perm.length;
      // Output axis i in memory is ONNX axis out[i], which is input axis perm[out[i]], which lies at in.indexOf of that.
      const input = permutationOf(rank, c.layouts.input);
      const physical = permutationOf(rank, c.layouts.output).map((axis) => input.indexOf(perm[axis]!));
      const moved = c.transpose(x, physical);
      c.set(moved === x ? c.reshape(x, x.shape) : moved);
    },
  },
  Concat: {
    layout: (node) => (hasLayouts(shapeOf(node.output(), node).length) ? 'any' : 'first'),
    lower(c) {
      const rank = c.outShape().length;
      const parts = c.node.inputs.flatMap((value, i) => (value && shapeOf(value, c.node).includes(0) ? [] : [c.onGrid(c.input(i))]));
      c.replace('CONCATENATION', parts, { type: 'ConcatenationOptions', value: { axis: c.axis(c.node.int('axis')!, rank), fusedActivationFunction: 0 } });
    },
  },
  Split: {
    layout: imageWish,
    reads: [0],
    lower(c) {
      const rank = c.rank(0);
      const logical = normalizeAxis(c.node.int('axis', 0), rank);
      const axis = c.axis(logical, rank);
      const sizes = c.node.outputs.map((_, i) => c.outShape(i)[logical]);
      if (!sizes.every((size) => typeof size === 'number')) c.failOpen(c.node.output());
      const shapes = c.node.outputs.map((_, i) => physicalShape(c.outShape(i), c.layout));
      const dtypes = c.node.outputs.map(() => c.dtype(0));
      const even = sizes.every((size) => size === sizes[0]);
      const x = c.input(0);
      const parts = even
        ? c.emitMany('SPLIT', [c.ints([axis], []), x], shapes, dtypes, { type: 'SplitOptions', value: { numSplits: sizes.length } })
        : c.emitMany('SPLIT_V', [x, c.ints(sizes as number[]), c.ints([axis], [])], shapes, dtypes, { type: 'SplitVOptions', value: { numSplits: sizes.length } });
      parts.forEach((part, i) => c.set(part, i));
    },
  },
  Slice: {
    layout: imageWish,
    reads: [0],
    lower(c) {
      const rank = c.rank(0);
      const starts = c.list('starts', 1)!;
      const ends = c.list('ends', 2)!;
      const axes = (c.list('axes', 3) ?? starts.map((_, i) => i)).map((axis) => normalizeAxis(axis, rank));
      const steps = c.numbers(4) ?? starts.map(() => 1);
      const x = c.input(0);
      const ranges = c.shape(0).map((size, axis) => {
        const i = axes.indexOf(axis);
        if (i < 0) return { start: 0, end: typeof size === 'number' ? size : -1, step: 1, size };
        if (typeof size !== 'number') return c.failOpen(c.value(0));
        const [start, end] = sliceBounds(size, starts[i]!, ends[i]!, steps[i]!);
        return { start, end, step: steps[i]!, size: Math.max(0, Math.ceil((end - start) / steps[i]!)) };
      });
      const physical = permute(ranges, permutationOf(rank, c.layout));
      if (physical.every(({ step }) => step === 1)) {
        // -1 is all the rest.
        const sizes = physical.map(({ size }) => (typeof size === 'number' ? size : -1));
        return c.replace('SLICE', [x, c.ints(physical.map(({ start }) => start)), c.ints(sizes)], { type: 'SliceOptions', value: {} });
      }
      // Going down to the first element, the end has no number: the mask says so.
      const endMask = physical.reduce((mask, { end, size }, i) => (end < 0 || typeof size !== 'number' ? mask | (1 << i) : mask), 0);
      c.replace('STRIDED_SLICE', [x, c.ints(physical.map(({ start }) => start)), c.ints(physical.map(({ end }) => Math.max(end, 0))), c.ints(physical.map(({ step }) => step))], {
        type: 'StridedSliceOptions', value: { beginMask: 0, endMask, ellipsisMask: 0, newAxisMask: 0, shrinkAxisMask: 0 },
      });
    },
  },
  Pad: {
    layout: imageWish,
    reads: [0],
    lower(c) {
      const rank = c.rank(0);
      const mode = c.node.string('mode', 'constant');
      const given = c.list('pads', 1)!;
      const axes = c.numbers(3)?.map((axis) => normalizeAxis(axis, rank)) ?? Array.from({ length: rank }, (_, i) => i);
      const pads = Array.from({ length: rank }, (_, axis): [number, number] => {
        const i = axes.indexOf(axis);
        return i < 0 ? [0, 0] : [given[i]!, given[i + axes.length]!];
      });
      let x = c.input(0);
      const order = permutationOf(rank, c.layout);
      const physical = permute(pads, order);
      if (mode === 'edge' || mode === 'wrap') return c.set(padByIndex(c, x, physical, mode));
      if (pads.flat().some((pad) => pad < 0)) x = crop(c, x, physical);
      const list = c.ints(physical.flat().map((pad) => Math.max(0, pad)), [rank, 2]);
      if (mode === 'reflect') return c.replace('MIRROR_PAD', [x, list], { type: 'MirrorPadOptions', value: { mode: 0 } });
      if (mode !== 'constant') throw c.fail(`it pads with mode ${mode}`, 'TFLite pads with a constant, the edge, or by reflection.');
      const value = c.node.float('value') ?? (c.has(2) ? c.numbers(2)![0]! : 0);
      if (value === 0) return c.replace('PAD', [x, list], { type: 'PadOptions', value: {} });
      c.replace('PADV2', [x, list, c.scalar(value, x.dtype)], { type: 'PadV2Options', value: {} });
    },
  },
  Gather: {
    lower(c) {
      const axis = normalizeAxis(c.node.int('axis', 0), c.rank(0));
      c.set(c.emit('GATHER', [c.input(0), nonNegative(c, 1, c.shape(0)[axis]!)], { options: { type: 'GatherOptions', value: { axis, batchDims: 0 } } }));
    },
    note: 'computed indices must not be negative',
  },
  GatherND: {
    lower(c) {
      const batchDims = c.node.int('batch_dims', 0);
      if (batchDims === 0) return c.replace('GATHER_ND', [c.input(0), c.input(1)], { type: 'GatherNdOptions', value: {} });
      c.replace('GATHER_ND', [c.input(0), withBatch(c, batchDims)], { type: 'GatherNdOptions', value: {} });
    },
    note: 'indices must not be negative',
  },
  Expand: {
    reads: [0],
    lower(c) {
      const x = c.input(0);
      const shape = c.outShape();
      if (shape.every((dim, i) => dim === x.shape[i]) && shape.length === x.shape.length) return c.set(c.reshape(x, shape));
      c.replace('BROADCAST_TO', [x, c.ints(fixedShape(shape) ?? c.failOpen(c.node.output()))], { type: 'BroadcastToOptions', value: {} });
    },
  },
  Tile: {
    layout: imageWish,
    reads: [0],
    lower: (c) => c.replace('TILE', [c.input(0), c.ints(permute(c.numbers(1)!, permutationOf(c.rank(0), c.layout)))], { type: 'TileOptions', value: {} }),
  },
  OneHot: {
    reads: [0],
    lower(c) {
      const [off, on] = c.numbers(2) as [number, number];
      const rank = c.outShape().length;
      const axis = normalizeAxis(c.node.int('axis', -1), rank);
      const dtype = c.outDtype();
      const given = c.input(0);
      const indices = given.dtype === 'float32' ? c.emit('CAST', [given], { shape: given.shape, dtype: 'int32', options: { type: 'CastOptions', value: { inDataType: 0, outDataType: 2 } } }) : given;
      c.replace('ONE_HOT', [indices, c.ints([c.numbers(1)![0]!], []), c.scalar(on, dtype), c.scalar(off, dtype)], { type: 'OneHotOptions', value: { axis: axis === rank - 1 ? -1 : axis } });
    },
    note: 'indices must not be negative',
  },
  DepthToSpace: {
    layout: 'last',
    lower(c) {
      const block = c.node.int('blocksize')!;
      let x = c.input(0);
      if (c.node.string('mode', 'DCR') === 'CRD') {
        // Channel c * b * b + i of ONNX is channel i * C + c of TFLite.
        const channels = x.shape.at(-1) as number;
        const [square, groups] = [block * block, channels / (block * block)];
        const order = Array.from({ length: channels }, (_, i) => (i % groups) * square + Math.floor(i / groups));
        x = c.emit('GATHER', [x, c.ints(order)], { shape: x.shape, options: { type: 'GatherOptions', value: { axis: 3, batchDims: 0 } } });
      }
      c.replace('DEPTH_TO_SPACE', [x], { type: 'DepthToSpaceOptions', value: { blockSize: block } });
    },
  },
  SpaceToDepth: { layout: 'last', lower: (c) => c.replace('SPACE_TO_DEPTH', [c.input(0)], { type: 'SpaceToDepthOptions', value: { blockSize: c.node.int('blocksize')! } }) },
} satisfies Record<string, Lowering>;

/** Coordinates with those of the batch in front of them: (batch…, …, depth) as (batch…, …, batchDims + depth). */
function withBatch(c: LowerContext, batchDims: number): TfTensor {
  const sizes = c.sizes(1);
  const indices = c.input(1);
  const narrow = indices.dtype === 'int32' ? indices : c.emit('CAST', [indices], { shape: indices.shape, dtype: 'int32', options: { type: 'CastOptions', value: { inDataType: 4, outDataType: 2 } } });
  const outer = sizes.slice(0, -1);
  const strides = outer.map((_, i) => elementCount(outer.slice(i + 1)));
  const numbers = Array.from({ length: elementCount(outer) }, (_, at) => outer.slice(0, batchDims).map((size, i) => Math.floor(at / strides[i]!) % size)).flat();
  const places = c.tensorConstant(denseOf('int32', [...outer, batchDims], numbers));
  return c.emit('CONCATENATION', [places, narrow], { shape: [...outer, batchDims + sizes.at(-1)!], dtype: 'int32', options: { type: 'ConcatenationOptions', value: { axis: outer.length, fusedActivationFunction: 0 } } });
}

/** What negative pads take away. */
function crop(c: LowerContext, x: TfTensor, pads: readonly (readonly [number, number])[]): TfTensor {
  const begin = pads.map(([before]) => Math.max(0, -before));
  const sizes = x.shape.map((size, i) => {
    const cut = begin[i]! + Math.max(0, -pads[i]![1]);
    if (typeof size !== 'number' && cut > 0) return c.failOpen(c.value(0));
    return typeof size === 'number' ? size - cut : -1;
  });
  return c.emit('SLICE', [x, c.ints(begin), c.ints(sizes)], { shape: x.shape.map((dim, i) => (typeof dim === 'number' ? sizes[i]! : dim)), dtype: x.dtype, options: { type: 'SliceOptions', value: {} } });
}

/** Repeats the first and last elements of each axis, or starts over: one lookup for each axis that grows. */
function padByIndex(c: LowerContext, x: TfTensor, pads: readonly (readonly [number, number])[], mode: 'edge' | 'wrap'): TfTensor {
  const grown = pads.reduce((current, [before, after], axis) => {
    if (before === 0 && after === 0) return current;
    const size = current.shape[axis];
    if (typeof size !== 'number') return c.failOpen(c.value(0));
    const indices = Array.from({ length: size + before + after }, (_, i) => (mode === 'edge' ? Math.min(Math.max(i - before, 0), size - 1) : (((i - before) % size) + size) % size));
    const shape = current.shape.map((dim, i) => (i === axis ? indices.length : dim));
    return c.emit('GATHER', [current, c.ints(indices)], { shape, dtype: current.dtype, options: { type: 'GatherOptions', value: { axis, batchDims: 0 } } });
  }, x);
  return grown === x ? c.reshape(x, x.shape) : grown;
}

/** Indices without negative ones, as far as they are known: TFLite does not count from the end. */
function nonNegative(c: LowerContext, index: number, size: Dim): TfTensor {
  const tensor = c.constant(index);
  if (tensor?.kind !== 'dense') return tensor ? c.tensorConstant(lazy.cast(tensor, 'int32')) : c.input(index);
  const numbers = c.numbers(index)!;
  const counted = numbers.map((value) => (value < 0 ? value + (typeof size === 'number' ? size : c.failOpen(c.value(0))) : value));
  return c.tensorConstant(denseOf('int32', tensor.shape, counted));
}
