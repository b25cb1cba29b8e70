/** The key-value pairs of a GGUF file. */
import { PenjingError } from '@penjing/core';
import { ggufLimits } from '../limits.js';
import type { Cursor } from './cursor.js';

/**
 * 64-bit integers are numbers where these are exact, bigints beyond. Arrays of numbers are typed arrays of their own
 * element type; other arrays are lists.
 */
export type GgufValue =
  | number | bigint | boolean | string
  | Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array | BigUint64Array | BigInt64Array
  | readonly GgufValue[];

export type GgufMetadata = ReadonlyMap<string, GgufValue>;

interface NumberType {
  readonly bytes: 1 | 2 | 4 | 8;
  readonly read: (cursor: Cursor) => number | bigint;
  readonly array: (buffer: ArrayBuffer) => Exclude<GgufValue, number | bigint | boolean | string | readonly GgufValue[]>;
}

/** By value type code. 7 is bool, 8 string, 9 array. */
const numberTypes: Readonly<Record<number, NumberType>> = {
  0: { bytes: 1, read: (cursor) => cursor.u8(), array: (buffer) => new Uint8Array(buffer) },
  1: { bytes: 1, read: (cursor) => cursor.i8(), array: (buffer) => new Int8Array(buffer) },
  2: { bytes: 2, read: (cursor) => cursor.u16(), array: (buffer) => new Uint16Array(buffer) },
  3: { bytes: 2, read: (cursor) => cursor.i16(), array: (buffer) => new Int16Array(buffer) },
  4: { bytes: 4, read: (cursor) => cursor.u32(), array: (buffer) => new Uint32Array(buffer) },
  5: { bytes: 4, read: (cursor) => cursor.i32(), array: (buffer) => new Int32Array(buffer) },
  6: { bytes: 4, read: (cursor) => cursor.f32(), array: (buffer) => new Float32Array(buffer) },
  10: { bytes: 8, read: (cursor) => exact(cursor.u64()), array: (buffer) => new BigUint64Array(buffer) },
  11: { bytes: 8, read: (cursor) => exact(cursor.i64()), array: (buffer) => new BigInt64Array(buffer) },
  12: { bytes: 8, read: (cursor) => cursor.f64(), array: (buffer) => new Float64Array(buffer) },
};

const BOOL = 7;
const STRING = 8;
const ARRAY = 9;

/** Bytes that an element takes at least: what bounds a count before it is believed. */
const LEAST_BYTES: Readonly<Record<number, number>> = { [BOOL]: 1, [STRING]: 8, [ARRAY]: 12 };

/** Reads `count` pairs. Throws `E_GGUF` naming the key that is wrong, `E_LIMIT` for more than any file has. */
export function readMetadata(cursor: Cursor, count: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  const budget = { values: ggufLimits.values };
  for (let i = 0; i < count; i++) {
    const key = cursor.string(`key ${i}`, true, ggufLimits.keyBytes);
    if (metadata.has(key)) throw new PenjingError('E_GGUF', `${cursor.uri}: the key ${quote(key)} stands twice`);
    metadata.set(key, readValue(cursor, cursor.u32(), key, budget, 0));
  }
  return metadata;
}

function readValue(cursor: Cursor, type: number, key: string, budget: { values: number }, depth: number): GgufValue {
  spend(cursor, 1, key, budget);
  const numeric = numberTypes[type];
  if (numeric) return numeric.read(cursor);
  if (type === BOOL) return readBool(cursor, key);
  if (type === STRING) return cursor.string(`the value of ${quote(key)}`);
  if (type === ARRAY) return readArray(cursor, key, budget, depth);
  throw new PenjingError('E_GGUF', `${cursor.uri}: ${quote(key)} has the value type ${type}, which is not known`, { details: { key, type } });
}

function readArray(cursor: Cursor, key: string, budget: { values: number }, depth: number): GgufValue {
  if (depth === ggufLimits.nesting) throw new PenjingError('E_LIMIT', `${cursor.uri}: ${quote(key)} nests arrays deeper than ${ggufLimits.nesting}`);
  const type = cursor.u32();
  const numeric = numberTypes[type];
  const least = numeric?.bytes ?? LEAST_BYTES[type];
  if (least === undefined) throw new PenjingError('E_GGUF', `${cursor.uri}: ${quote(key)} is an array of the value type ${type}, which is not known`, { details: { key, type } });
  const length = cursor.count(least, `elements of ${quote(key)}`);
  if (numeric) {
    spend(cursor, length, key, budget);
    const bytes = cursor.bytes(length * numeric.bytes);
    if (!cursor.littleEndian) swapBytes(bytes, numeric.bytes);
    return numeric.array(bytes.buffer);
  }
  const list: GgufValue[] = [];
  for (let i = 0; i < length; i++) list.push(readValue(cursor, type, key, budget, depth + 1));
  return list;
}

function readBool(cursor: Cursor, key: string): boolean {
  const byte = cursor.u8();
  if (byte > 1) throw new PenjingError('E_GGUF', `${cursor.uri}: ${quote(key)} is a bool of value ${byte}`);
  return byte === 1;
}

function spend(cursor: Cursor, values: number, key: string, budget: { values: number }): void {
  budget.values -= values;
  if (budget.values < 0) throw new PenjingError('E_LIMIT', `${cursor.uri}: with ${quote(key)} its metadata has more than ${ggufLimits.values} values`);
}

function swapBytes(bytes: Uint8Array, width: number): void {
  for (let at = 0; at < bytes.length; at += width) bytes.subarray(at, at + width).reverse();
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Text of a file as part of a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
