/** Tensors from nothing: filled, counted, random ones refused; and conversions of one tensor to another type. */
import type { DType, Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { row, rowsOf } from '../row.js';
import { isSym, plainNumber, type Scalar, type SymInt } from '../values.js';

/** Where a tensor would live says nothing about its elements. */
const rest = 'Ignored layout=None, Ignored device=None, Ignored pin_memory=None';

function filled(c: AtenContext, size: readonly SymInt[], value: Scalar, dtype: DType): Value {
  const one = c.tensor(value, dtype);
  return size.length === 0 ? one : c.op('Expand', [one, c.vector(size)]);
}

function like(c: AtenContext, self: Value, value: Scalar, dtype: DType | null): Value {
  return filled(c, c.sizes(self), value, dtype ?? c.dtype(self));
}

function arange(c: AtenContext, start: Scalar, end: Scalar, step: Scalar, given: DType | null): Value {
  const dtype = given ?? c.resultType([start, end, step]);
  const numbers = [start, end, step].map(plainNumber);
  if (numbers.every((number) => number !== undefined)) {
    const [from, to, by] = numbers as [number, number, number];
    const count = Math.max(0, Math.ceil((to - from) / by));
    if (count <= 4096) return c.constant(dtype, Array.from({ length: count }, (_, i) => from + i * by));
  }
  // The length follows from the exact numbers, so those of integers must not be rounded first.
  return c.op('Range', [start, end, step].map((bound) => c.tensor(bound, dtype)));
}

const fills = { zeros: 0, ones: 1, empty: 0 };

function convert(c: AtenContext, self: Value, dtype: DType | null): Value {
  return dtype ? c.cast(self, dtype) : self;
}

const draws = { rand: 'RandomUniformLike', randn: 'RandomNormalLike' };

export const creations = [
  ...rowsOf(fills, (name, value) => row(`${name}.{default,memory_format}(SymInt[] size, *, ScalarType? dtype=None, ${rest}, Ignored memory_format=None)`, (c, { size, dtype }) =>
    filled(c, size, value, dtype ?? 'float32'))),
  ...rowsOf(fills, (name, value) => row(`${name}_like(Tensor self, *, ScalarType? dtype=None, ${rest}, Ignored memory_format=None)`, (c, { self, dtype }) => like(c, self, value, dtype))),
  ...rowsOf(fills, (name, value) => row(`new_${name}(Tensor self, SymInt[] size, *, ScalarType? dtype=None, ${rest})`, (c, { self, size, dtype }) =>
    filled(c, size, value, dtype ?? c.dtype(self)))),
  row(`empty_strided(SymInt[] size, SymInt[] stride, *, ScalarType? dtype=None, ${rest})`, (c, { size, dtype }) => filled(c, size, 0, dtype ?? 'float32')),
  row(`new_empty_strided(Tensor self, SymInt[] size, SymInt[] stride, *, ScalarType? dtype=None, ${rest})`, (c, { self, size, dtype }) => filled(c, size, 0, dtype ?? c.dtype(self))),
  row(`empty_permuted(SymInt[] size, int[] physical_layout, *, ScalarType? dtype=None, ${rest})`, (c, { size, dtype }) => filled(c, size, 0, dtype ?? 'float32')),
  row(`full(SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, ${rest})`, (c, { size, fill_value, dtype }) =>
    filled(c, size, fill_value, dtype ?? c.promotion(fill_value).dtype)),
  row(`full_like(Tensor self, Scalar fill_value, *, ScalarType? dtype=None, ${rest}, Ignored memory_format=None)`, (c, { self, fill_value, dtype }) => like(c, self, fill_value, dtype)),
  row(`new_full(Tensor self, SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, ${rest})`, (c, { self, size, fill_value, dtype }) =>
    filled(c, size, fill_value, dtype ?? c.dtype(self))),
  row(`scalar_tensor(Scalar s, *, ScalarType? dtype=None, ${rest})`, (c, { s, dtype }) => c.tensor(s, dtype ?? (isSym(s) ? c.dtype(s.value) : 'float32'))),
  // The order that random numbers have.
  row(`randperm(SymInt n, *, ScalarType? dtype=None, ${rest})`, (c, { n, dtype }) => {
    const drawn = c.op('RandomUniformLike', [c.op('Expand', [c.constant('float32', 0), c.vector([n])])]);
    return c.cast(c.ops('TopK', [drawn, c.vector([n])], {}, { outputCount: 2 })[1]!, dtype ?? 'int64');
  }),
  row('fill.{Scalar,Tensor}(Tensor self, Operand value)', (c, { self, value }) => c.op('Expand', [c.tensor(value, c.dtype(self)), c.vector(c.sizes(self))])),
  row('zero(Tensor self)', (c, { self }) => like(c, self, 0, null)),
  row(`arange.default(Scalar end, *, ScalarType? dtype=None, ${rest})`, (c, { end, dtype }) => arange(c, 0, end, 1, dtype)),
  row(`arange.start(Scalar start, Scalar end, *, ScalarType? dtype=None, ${rest})`, (c, { start, end, dtype }) => arange(c, start, end, 1, dtype)),
  row(`arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, ${rest})`, (c, { start, end, step, dtype }) => arange(c, start, end, step, dtype)),
  row(`linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None, ${rest})`, (c, { start, end, steps, dtype }) => {
    const [from, to] = [plainNumber(start), plainNumber(end)];
    if (from === undefined || to === undefined) throw c.unsupported('bounds that are computed in the graph');
    return c.constant(dtype ?? 'float32', Array.from({ length: c.count(steps) }, (_, i) => from + (steps > 1 ? (i * (to - from)) / (steps - 1) : 0)));
  }),
  row(`eye.{default,m}(SymInt n, SymInt? m=None, *, ScalarType? dtype=None, ${rest})`, (c, { n, m, dtype }) => {
    const type = dtype ?? 'float32';
    const zeros = filled(c, [n, m ?? n], 0, type);
    return c.op('EyeLike', [zeros]);
  }),
  row(`tril_indices(int row, int col, int offset=0, *, ScalarType? dtype=None, ${rest})`, (c, { row: rows, col, offset }) => triangle(c, rows, col, (i, j) => j <= i + offset)),
  row(`triu_indices(int row, int col, int offset=0, *, ScalarType? dtype=None, ${rest})`, (c, { row: rows, col, offset }) => triangle(c, rows, col, (i, j) => j >= i + offset)),
  ...rowsOf(draws, (name, type) => row(`${name}.{default}(SymInt[] size, *, ScalarType? dtype=None, ${rest})`, (c, { size, dtype }) => c.op(type, [filled(c, size, 0, dtype ?? 'float32')]))),
  ...rowsOf(draws, (name, type) => row(`${name}_like(Tensor self, *, ScalarType? dtype=None, ${rest}, Ignored memory_format=None)`, (c, { self, dtype }) =>
    c.op(type, [like(c, self, 0, dtype)]))),
  // conversions
  row(`_to_copy(Tensor self, *, ScalarType? dtype=None, ${rest}, Ignored non_blocking=None, Ignored memory_format=None)`, (c, { self, dtype }) => convert(c, self, dtype)),
  row('to.dtype(Tensor self, ScalarType dtype, Ignored non_blocking=None, Ignored copy=None, Ignored memory_format=None)', (c, { self, dtype }) => convert(c, self, dtype)),
  row(`to.dtype_layout(Tensor self, *, ScalarType? dtype=None, ${rest}, Ignored non_blocking=None, Ignored copy=None, Ignored memory_format=None)`, (c, { self, dtype }) => convert(c, self, dtype)),
  row('to.device(Tensor self, Ignored device, ScalarType dtype, Ignored non_blocking=None, Ignored copy=None, Ignored memory_format=None)', (c, { self, dtype }) => convert(c, self, dtype)),
  row('to.prim_Device(Tensor self, Ignored device, ScalarType? dtype=None, Ignored non_blocking=None, Ignored copy=None)', (c, { self, dtype }) => convert(c, self, dtype)),
  row('to.prim_other(Tensor self, Ignored non_blocking=None, Ignored copy=None)', (_, { self }) => self),
  row('to.other(Tensor self, Tensor other, Ignored non_blocking=None, Ignored copy=None, Ignored memory_format=None)', (c, { self, other }) => c.cast(self, c.dtype(other))),
  row('type_as(Tensor self, Tensor other)', (c, { self, other }) => c.cast(self, c.dtype(other))),
  ...rowsOf({ float: 'float32', double: 'float64', half: 'float16', int: 'int32', long: 'int64', bool: 'bool', bfloat16: 'bfloat16' } as const, (name, dtype) =>
    row(`${name}(Tensor self)`, (c, { self }) => c.cast(self, dtype))),
  row('copy(Tensor self, Tensor src, bool non_blocking=False)', (c, { self, src }) => c.expand(c.cast(src, c.dtype(self)), c.sizes(self))),
  row('complex(Tensor real, Tensor imag)', (c) => {
    throw c.unsupported('complex numbers have no form in ONNX');
  }),
];

function triangle(c: AtenContext, rows: number, columns: number, inside: (i: number, j: number) => boolean): Value {
  c.count(rows * columns);
  const pairs = Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => [i, j] as const)).flat().filter(([i, j]) => inside(i, j));
  return c.builder.constant('int64', [...pairs.map(([i]) => i), ...pairs.map(([, j]) => j)], [2, pairs.length]);
}
