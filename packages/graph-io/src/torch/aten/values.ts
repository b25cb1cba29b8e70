/** What ATen operators take and give while a graph is built: tensors are graph values, sizes numbers or values computed in the graph. */
import type { DType, Value } from '@penjing/core';

/** A number computed in the graph (SymInt, SymFloat, SymBool): its value is a tensor of shape [1]. */
export interface Sym {
  readonly kind: 'sym';
  readonly value: Value;
}

/** A number that is a float although it is whole: `2.0` makes floats of integers, `2` does not. */
export interface Float {
  readonly kind: 'float';
  readonly number: number;
}

export type SymInt = number | Sym;
export type Scalar = number | boolean | Float | Sym;
/** Where PyTorch takes a tensor or a number. */
export type Operand = Value | Scalar;

/** An argument as a caller gives it; an element type is its name (`float32`). */
export type AtenArgument = Value | Sym | Float | number | boolean | string | null | readonly AtenArgument[];

/** A result: one tensor, a number of the graph, or several of them; null for an output that ONNX has no form of. */
export type AtenResult = Value | Scalar | null | readonly AtenResult[];

export function isSym(value: unknown): value is Sym {
  return typeof value === 'object' && value !== null && (value as Sym).kind === 'sym';
}

export function isFloatScalar(value: unknown): value is Float {
  return typeof value === 'object' && value !== null && (value as Float).kind === 'float';
}

/** The number behind a scalar that is known; undefined for one computed in the graph. */
export function plainNumber(scalar: Scalar): number | undefined {
  if (typeof scalar === 'boolean') return Number(scalar);
  if (isFloatScalar(scalar)) return scalar.number;
  return typeof scalar === 'number' ? scalar : undefined;
}

/** A graph value (structural: packages may be loaded twice). */
export function isValue(value: unknown): value is Value {
  return typeof value === 'object' && value !== null && '_uses' in value;
}

/** ScalarType of c10, as TorchScript and pickles number element types. */
export const dtypeOfC10: ReadonlyMap<number, DType> = new Map<number, DType>([
  [0, 'uint8'], [1, 'int8'], [2, 'int16'], [3, 'int32'], [4, 'int64'], [5, 'float16'], [6, 'float32'], [7, 'float64'], [9, 'complex64'],
  [10, 'complex128'], [11, 'bool'], [15, 'bfloat16'], [23, 'float8e5m2'], [24, 'float8e4m3fn'], [25, 'float8e5m2fnuz'], [26, 'float8e4m3fnuz'],
  [27, 'uint16'], [28, 'uint32'], [29, 'uint64'],
]);

/** ScalarType of the export schema, which counts otherwise. */
export const dtypeOfExport: ReadonlyMap<number, DType> = new Map<number, DType>([
  [1, 'uint8'], [2, 'int8'], [3, 'int16'], [4, 'int32'], [5, 'int64'], [6, 'float16'], [7, 'float32'], [8, 'float64'], [10, 'complex64'],
  [11, 'complex128'], [12, 'bool'], [13, 'bfloat16'], [28, 'uint16'], [29, 'float8e4m3fn'], [30, 'float8e5m2'], [31, 'float8e4m3fnuz'],
  [32, 'float8e5m2fnuz'],
]);
