/** Looking up and writing element by element: coordinates are spelt out, as GATHER_ND and SCATTER_ND take them. */
import { denseOf, type DType, elementCount, normalizeAxis } from '@penjing/core';
import type { LowerContext } from '../lower-context.js';
import type { Lowering } from '../lowering.js';
import type { TfTensor } from '../tf-graph.js';
import { binary } from './elementwise.js';

/** Indices as int32, counted from the start of an axis of `size` elements. */
export function counted(c: LowerContext, indices: TfTensor, size: number): TfTensor {
  if (indices.content) return indices;
  const narrow = indices.dtype === 'int32' ? indices : c.emit('CAST', [indices], { shape: indices.shape, dtype: 'int32', options: { type: 'CastOptions', value: { inDataType: 4, outDataType: 2 } } });
  return binary(c, 'FLOOR_MOD', narrow, c.scalar(size, 'int32'), narrow.shape, 'int32');
}

/** Constant indices without negative ones, as int32. */
function indicesOf(c: LowerContext, index: number, sizes: readonly number[]): TfTensor {
  const tensor = c.constant(index);
  if (tensor?.kind !== 'dense') return c.input(index);
  const numbers = c.numbers(index)!.map((value, i) => (value < 0 ? value + sizes[i % sizes.length]! : value));
  return c.tensorConstant(denseOf('int32', tensor.shape, numbers));
}

/** (…, rank) coordinates of the elements that indices along one axis name. */
function coordinates(c: LowerContext, axis: number): TfTensor {
  const [sizes, shape] = [c.sizes(0), c.sizes(1)];
  const along = counted(c, indicesOf(c, 1, [sizes[axis]!]), sizes[axis]!);
  const strides = shape.map((_, i) => elementCount(shape.slice(i + 1)));
  const parts = shape.map((size, i) =>
    (i === axis ? along : c.tensorConstant(denseOf('int32', shape, Array.from({ length: elementCount(shape) }, (__, at) => Math.floor(at / strides[i]!) % size)))));
  return c.emit('PACK', parts, { shape: [...shape, shape.length], dtype: 'int32', options: { type: 'PackOptions', value: { valuesCount: parts.length, axis: shape.length } } });
}

/** Constants that spell out coordinates take memory; beyond this many the model should do it another way. */
const MAX_COORDINATES = 1 << 20;

function checkSize(c: LowerContext): void {
  if (elementCount(c.sizes(1)) > MAX_COORDINATES) throw c.fail(`it names ${elementCount(c.sizes(1))} elements one by one`, 'Use Gather or Slice, which move whole rows.');
}

const scatterTypes: ReadonlySet<DType> = new Set(['float32', 'int32', 'int64']);

/** Writes updates at coordinates into data. TFLite adds what falls on the same place. */
function scatter(c: LowerContext, data: TfTensor, at: TfTensor, updates: TfTensor): TfTensor {
  const reduction = c.node.string('reduction', 'none');
  const sizes = c.sizes(0);
  if (!scatterTypes.has(data.dtype)) throw c.fail(`TFLite scatters float32, int32 and int64, not ${data.dtype}`, 'Cast its operands, and the result back.');
  if (reduction !== 'none' && reduction !== 'add') throw c.fail(`it combines updates with ${reduction}`, 'TFLite replaces or adds.');
  const shape = c.ints(sizes);
  const emit = (values: TfTensor): TfTensor => c.emit('SCATTER_ND', [at, values, shape], { shape: sizes, dtype: values.dtype, options: { type: 'ScatterNdOptions', value: {} } });
  if (reduction === 'add') return binary(c, 'ADD', data, emit(updates), sizes, data.dtype);
  const counting: DType = data.dtype === 'int64' ? 'int32' : data.dtype;
  const count = emit(c.tensorConstant(denseOf(counting, updates.shape as number[], Array<number>(elementCount(updates.shape as number[])).fill(1))));
  const written = binary(c, 'GREATER', count, c.scalar(0, counting), sizes, 'bool');
  const value = c.constant(2)?.kind === 'dense' ? c.numbers(2)! : [];
  if (value.length > 0 && value.every((each) => each === value[0])) {
    return c.emit('SELECT_V2', [written, c.scalar(value[0]!, data.dtype), data], { shape: sizes, dtype: data.dtype, options: { type: 'SelectV2Options', value: {} } });
  }
  // Equal updates of one place come out as they are: their sum divided by their number.
  if (data.dtype === 'int64' && !at.content) throw c.fail('places that are named twice cannot be told in int64, which TFLite does not divide', 'Cast its operands to int32, and the result back.');
  const sum = emit(updates);
  const mean = data.dtype === 'int64' ? sum : binary(c, 'DIV', sum, binary(c, 'MAXIMUM', count, c.scalar(1, counting), sizes, counting), sizes, data.dtype);
  return c.emit('SELECT_V2', [written, mean, data], { shape: sizes, dtype: data.dtype, options: { type: 'SelectV2Options', value: {} } });
}

const scatterElements: Lowering = {
  lower(c) {
    checkSize(c);
    const axis = normalizeAxis(c.node.int('axis', 0), c.rank(0));
    c.set(scatter(c, c.input(0), coordinates(c, axis), c.input(2)));
  },
  note: 'replaces or adds; updates of one place must be equal',
};

export const scattering = {
  GatherElements: {
    lower(c) {
      checkSize(c);
      const axis = normalizeAxis(c.node.int('axis', 0), c.rank(0));
      c.set(c.emit('GATHER_ND', [c.input(0), coordinates(c, axis)], { options: { type: 'GatherNdOptions', value: {} } }));
    },
  },
  ScatterElements: scatterElements,
  Scatter: scatterElements,
  ScatterND: {
    lower(c) {
      const sizes = c.sizes(0);
      c.sizes(2);
      const depth = c.sizes(1).at(-1)!;
      const at = indicesOf(c, 1, sizes.slice(0, depth));
      const narrow = at.dtype === 'int32' ? at : c.emit('CAST', [at], { shape: at.shape, dtype: 'int32', options: { type: 'CastOptions', value: { inDataType: 4, outDataType: 2 } } });
      const positive = at.content ? narrow : binary(c, 'FLOOR_MOD', narrow, c.tensorConstant(denseOf('int32', [depth], sizes.slice(0, depth))), narrow.shape, 'int32');
      c.set(scatter(c, c.input(0), positive, c.input(2)));
    },
    note: 'replaces or adds; updates of one place must be equal',
  },
  Trilu: {
    reads: [0],
    lower(c) {
      const x = c.input(0);
      const [rows, columns] = c.sizes(0).slice(-2) as [number, number];
      const k = c.numbers(1)?.[0] ?? 0;
      const upper = c.node.int('upper', 1) === 1;
      const keep = Array.from({ length: rows * columns }, (_, i) => {
        const offset = (i % columns) - Math.floor(i / columns);
        return (upper ? offset >= k : offset <= k) ? 1 : 0;
      });
      const mask = c.tensorConstant(denseOf('bool', [...Array<number>(x.shape.length - 2).fill(1), rows, columns], keep));
      c.set(c.emit('SELECT_V2', [mask, x, c.scalar(0, x.dtype)], { options: { type: 'SelectV2Options', value: {} } }));
    },
  },
} satisfies Record<string, Lowering>;
