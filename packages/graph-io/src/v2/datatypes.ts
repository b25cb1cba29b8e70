/** The datatypes of the Open Inference Protocol V2, the dtype each one is, and what JSON and gRPC can say of it. */
import { type DType, PenjingError } from '@penjing/core';
import { refused } from './refused.js';

/** The field of InferTensorContents that holds elements of a type; half floats have none and travel as raw bytes. */
export type ContentsField = 'bools' | 'ints' | 'longs' | 'uints' | 'ulongs' | 'floats' | 'doubles' | 'texts';

export interface V2TypeInfo {
  readonly dtype: DType;
  /** Of integers: the least and the largest value. */
  readonly range?: readonly [bigint, bigint];
  readonly contents?: ContentsField;
  /** DataType of Triton's model configuration. */
  readonly config: number;
}

const signed = (bits: bigint): readonly [bigint, bigint] => [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n];
const unsigned = (bits: bigint): readonly [bigint, bigint] => [0n, (1n << bits) - 1n];

// prettier-ignore
const table = {
  BOOL:   { dtype: 'bool', contents: 'bools', config: 1 },
  UINT8:  { dtype: 'uint8', range: unsigned(8n), contents: 'uints', config: 2 },
  UINT16: { dtype: 'uint16', range: unsigned(16n), contents: 'uints', config: 3 },
  UINT32: { dtype: 'uint32', range: unsigned(32n), contents: 'uints', config: 4 },
  UINT64: { dtype: 'uint64', range: unsigned(64n), contents: 'ulongs', config: 5 },
  INT8:   { dtype: 'int8', range: signed(8n), contents: 'ints', config: 6 },
  INT16:  { dtype: 'int16', range: signed(16n), contents: 'ints', config: 7 },
  INT32:  { dtype: 'int32', range: signed(32n), contents: 'ints', config: 8 },
  INT64:  { dtype: 'int64', range: signed(64n), contents: 'longs', config: 9 },
  FP16:   { dtype: 'float16', config: 10 },
  FP32:   { dtype: 'float32', contents: 'floats', config: 11 },
  FP64:   { dtype: 'float64', contents: 'doubles', config: 12 },
  BYTES:  { dtype: 'string', contents: 'texts', config: 13 },
  BF16:   { dtype: 'bfloat16', config: 14 },
} as const satisfies Record<string, V2TypeInfo>;

/** Name of an element type on the wire. BF16 is an addition of Triton's. */
export type V2Datatype = keyof typeof table;

export const v2Types: Readonly<Record<V2Datatype, V2TypeInfo>> = table;

export const v2Datatypes = Object.keys(table) as readonly V2Datatype[];

const byDType = new Map<DType, V2Datatype>(v2Datatypes.map((name) => [v2Types[name].dtype, name]));

/** The datatype of a dtype. Throws `E_DTYPE` for those that the protocol cannot carry (int4, float8, complex). */
export function v2DatatypeOf(dtype: DType): V2Datatype {
  const found = byDType.get(dtype);
  if (!found) throw new PenjingError('E_DTYPE', `${dtype} has no datatype in the V2 protocol`, { hint: `It knows ${v2Datatypes.join(', ')}; cast the value in the model.` });
  return found;
}

/** Throws `E_REQUEST` for anything but the name of a datatype. */
export function checkDatatype(value: unknown, where: string): V2Datatype {
  if (typeof value === 'string' && Object.hasOwn(table, value)) return value as V2Datatype;
  throw refused(`${where} has the datatype ${typeof value === 'string' ? JSON.stringify(value.slice(0, 32)) : String(typeof value)}`, `A datatype is one of ${v2Datatypes.join(', ')}.`);
}
