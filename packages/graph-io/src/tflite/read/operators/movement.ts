/** Operators that move, cut and join values without computing. */
import { dtypes, normalizeAxis, type Value } from '@penjing/core';
import { activateResult } from '../activation.js';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';
import { firstAxis, permuted } from '../places.js';
import { END, slice, stridedSlice } from './slices.js';

const reshape: ReadRow = (reading) => {
  const given = reading.optional('ReshapeOptions').newShape;
  const constant = reading.has(1) ? reading.values.numbers(reading.index(1)) : given;
  const target = constant ? reading.ints([...constant]) : reading.has(1) ? reading.int64(1) : reading.ints([...reading.resultTensor().shape]);
  // a 0 in TFLite is a size, in ONNX it keeps the one that was there
  reading.define(reading.op('Reshape', [reading.last(0), target], constant?.includes(0) ? { allowzero: 1 } : {}));
};

const concatenation: ReadRow = (reading) => {
  const { axis, fusedActivationFunction } = reading.options('ConcatenationOptions');
  const at = normalizeAxis(axis, reading.tensor(0).shape.length);
  const inputs = Array.from({ length: reading.inputCount }, (_, i) => i);
  const first = inputs.some((i) => reading.isFirst(i)) && inputs.every((i) => reading.tensor(i).shape.length === 4);
  const operands = inputs.map((i) => (first ? reading.first(i) : reading.last(i)));
  const joined = reading.op('Concat', operands, { axis: first ? firstAxis(at) : at });
  reading.define(activateResult(reading, joined, fusedActivationFunction), first);
};

/** Pieces along an axis: equal ones, or of given sizes. */
function split(reading: TfliteReading, x: number, axisOperand: number, sizes: readonly number[] | undefined): void {
  const [axis] = reading.numbers(axisOperand, 'axis');
  const { shape } = reading.tensor(x);
  const at = normalizeAxis(axis!, shape.length);
  const count = reading.operator.outputs.length;
  const { x: value, first } = reading.follow(x);
  const lengths = sizes ?? Array.from({ length: count }, () => shape[at]! / count);
  const known = lengths.reduce((sum, length) => sum + Math.max(0, length), 0);
  const pieces = reading.nodes('Split', [value, reading.ints(lengths.map((length) => (length < 0 ? shape[at]! - known : length)))], { axis: first ? firstAxis(at) : at }, count);
  pieces.forEach((piece, i) => reading.define(piece, first, i));
}

/** Pairs (before, after) per axis. */
const pad = (mode: 'constant' | 'mirror'): ReadRow => (reading) => {
  if (mode === 'constant' && !reading.values.numbers(reading.index(1))) {
    const turned = reading.op('Reshape', [reading.op('Transpose', [reading.int64(1)], { perm: [1, 0] }), reading.ints([-1])]);
    const filling = reading.has(2) ? reading.op('Reshape', [reading.last(2), reading.ints([])]) : reading.scalar(0);
    return reading.define(reading.op('Pad', [reading.last(0), turned, filling]));
  }
  const pairs = reading.numbers(1, 'paddings');
  const rank = reading.tensor(0).shape.length;
  if (pairs.length !== rank * 2) throw reading.fail(`it has ${pairs.length} paddings for ${rank} axes`);
  const { x, first } = reading.follow();
  const perAxis = Array.from({ length: rank }, (_, axis) => [pairs[2 * axis]!, pairs[2 * axis + 1]!] as const);
  const placed = first ? permuted(perAxis) : perAxis;
  const pads = reading.ints([...placed.map(([before]) => before), ...placed.map(([, after]) => after)]);
  const mirrored = mode === 'mirror' ? reading.options('MirrorPadOptions').mode : 0;
  if (mode === 'mirror' && mirrored === 1) return reading.define(padSymmetric(reading, x, placed), first);
  const value = mode === 'mirror' ? undefined : reading.has(2) ? reading.op('Reshape', [reading.last(2), reading.ints([])]) : reading.scalar(0);
  reading.define(reading.op('Pad', [x, pads, value], { mode: mode === 'mirror' ? 'reflect' : 'constant' }), first);
};

/** The edge itself is repeated too: of ONNX's modes only slices turned around do that. */
function padSymmetric(reading: TfliteReading, x: Value, perAxis: readonly (readonly [number, number])[]): Value {
  return perAxis.reduce((value, [before, after], axis) => {
    const at = reading.ints([axis]);
    const parts = [value];
    // counted from the end: the last element of a turned slice is the first of the value
    if (before > 0) parts.unshift(reading.op('Slice', [value, reading.ints([before - 1]), reading.ints([-(2 ** 40)]), at, reading.ints([-1])]));
    if (after > 0) parts.push(reading.op('Slice', [value, reading.ints([-1]), reading.ints([-after - 1]), at, reading.ints([-1])]));
    return parts.length === 1 ? value : reading.op('Concat', parts, { axis });
  }, x);
}

const pack: ReadRow = (reading) => {
  const { axis } = reading.options('PackOptions');
  const rank = reading.tensor(0).shape.length + 1;
  const at = normalizeAxis(axis, rank);
  const parts = Array.from({ length: reading.inputCount }, (_, i) => reading.op('Unsqueeze', [reading.last(i), reading.ints([at])]));
  reading.define(reading.op('Concat', parts, { axis: at }));
};

const unpack: ReadRow = (reading) => {
  const { axis } = reading.options('UnpackOptions');
  const at = normalizeAxis(axis, reading.tensor(0).shape.length);
  const count = reading.operator.outputs.length;
  const parts = count === 1 ? [reading.last(0)] : reading.nodes('Split', [reading.last(0)], { axis: at, num_outputs: count }, count);
  parts.forEach((part, i) => reading.define(reading.op('Squeeze', [part, reading.ints([at])]), false, i));
};

const gather: ReadRow = (reading) => {
  const { axis = 0, batchDims = 0 } = reading.optional('GatherOptions');
  const { shape } = reading.tensor(0);
  const at = normalizeAxis(axis, shape.length);
  if (batchDims === 0) return reading.define(reading.op('Gather', [reading.last(0), reading.int64(1)], { axis: at }));
  // the axis is brought to the batch dimensions, and what was before it goes back there
  const order = shape.map((_, i) => i);
  order.splice(batchDims, 0, order.splice(at, 1)[0]!);
  const x = at === batchDims ? reading.last(0) : reading.op('Transpose', [reading.last(0)], { perm: order });
  const places = reading.op('Unsqueeze', [reading.int64(1), reading.ints([-1])]);
  const gathered = reading.op('GatherND', [x, places], { batch_dims: batchDims });
  if (at === batchDims) return reading.define(gathered);
  const taken = reading.tensor(1).shape.length - batchDims;
  const between = at - batchDims;
  const perm = [...range(0, batchDims), ...range(batchDims + taken, between), ...range(batchDims, taken), ...range(at + taken, shape.length - 1 - at)];
  reading.define(reading.op('Transpose', [gathered], { perm }));
};

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

const transpose: ReadRow = (reading) => reading.define(reading.op('Transpose', [reading.last(0)], { perm: [...reading.numbers(1, 'permutation')] }));

const toInteger = (reading: TfliteReading, value: Value): Value => {
  const { dtype } = reading.resultTensor();
  return dtype === 'int64' ? value : reading.op('Cast', [value], { to: dtypes[dtype].onnx });
};

export const movement: ReadTable = {
  RESHAPE: reshape,
  TRANSPOSE: transpose,
  CONCATENATION: concatenation,
  PAD: pad('constant'),
  PADV2: pad('constant'),
  MIRROR_PAD: pad('mirror'),
  SLICE: slice,
  STRIDED_SLICE: stridedSlice,
  SPLIT: (reading) => split(reading, 1, 0, undefined),
  SPLIT_V: (reading) => split(reading, 0, 2, reading.numbers(1, 'sizes')),
  PACK: pack,
  UNPACK: unpack,
  GATHER: gather,
  GATHER_ND: (reading) => reading.define(reading.op('GatherND', [reading.last(0), reading.int64(1)])),
  EMBEDDING_LOOKUP: (reading) => reading.define(reading.op('Gather', [reading.last(1), reading.int64(0)], { axis: 0 })),
  SQUEEZE: (reading) => {
    const axes = reading.optional('SqueezeOptions').squeezeDims ?? [];
    reading.define(reading.op('Squeeze', [reading.last(0), axes.length > 0 ? reading.ints([...axes]) : undefined]));
  },
  EXPAND_DIMS: (reading) => reading.define(reading.op('Unsqueeze', [reading.last(0), reading.op('Reshape', [reading.int64(1), reading.ints([-1])])])),
  TILE: (reading) => reading.define(reading.op('Tile', [reading.last(0), reading.int64(1)])),
  BROADCAST_TO: (reading) => reading.define(reading.op('Expand', [reading.last(0), reading.int64(1)])),
  SHAPE: (reading) => reading.define(toInteger(reading, reading.op('Shape', [reading.last(0)]))),
  RANK: (reading) => reading.define(reading.values.builder.constant('int32', reading.tensor(0).shape.length)),
  FILL: (reading) => reading.define(reading.op('Expand', [reading.last(1), reading.int64(0)])),
  RANGE: (reading) => reading.define(reading.op('Range', [reading.last(0), reading.last(1), reading.last(2)])),
  REVERSE_V2: (reading) => {
    const axes = reading.numbers(1, 'axes');
    const each = (value: number): Value => reading.ints(axes.map(() => value));
    reading.define(reading.op('Slice', [reading.last(0), each(-1), each(-END), reading.ints([...axes]), each(-1)]));
  },
  ONE_HOT: (reading) => {
    const values = reading.op('Concat', [3, 2].map((i) => reading.op('Reshape', [reading.last(i), reading.ints([1])])), { axis: 0 });
    reading.define(reading.op('OneHot', [reading.int64(0), reading.int64(1), values], { axis: reading.options('OneHotOptions').axis }));
  },
  WHERE: (reading) => {
    const places = reading.op('Transpose', [reading.op('NonZero', [reading.last(0)])], { perm: [1, 0] });
    reading.define(toInteger(reading, places));
  },
  SCATTER_ND: (reading) => {
    const zeros = reading.op('Expand', [reading.values.builder.constant(reading.values.dtype(reading.index(1)), 0), reading.int64(2)]);
    reading.define(reading.op('ScatterND', [zeros, reading.int64(0), reading.last(1)], { reduction: 'add' }));
  },
};
