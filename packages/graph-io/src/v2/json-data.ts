/** Tensor data as JSON: nested or flat lists, every integer exact, nothing rounded or cut silently. */
import { bytesOf, DenseTensor, dtypes, encodeText, PenjingError, type Shape, StringTensor, type TypedArray } from '@penjing/core';
import { v2Limits } from '../limits.js';
import { type V2Datatype, v2DatatypeOf, v2Types } from './datatypes.js';
import { type NumberArray, readNumbers } from './json-numbers.js';
import { refused, tooLarge } from './refused.js';
import { type DataRange, textOf } from './split-json.js';

const BINARY = 'Send it as binary data (`binary_data_size`), or by gRPC.';
const ASK_BINARY = 'Ask for binary data (`binary_data_output`), or use gRPC.';

/** A tensor from the JSON of its data. Throws `E_REQUEST` naming what does not fit. */
export function tensorFromJson(datatype: V2Datatype, shape: Shape, count: number, bytes: Uint8Array, range: DataRange, where: string): DenseTensor | StringTensor {
  if (datatype === 'FP16' || datatype === 'BF16') throw refused(`${datatype} has no JSON form, and ${where} is sent as one`, BINARY);
  if (count > v2Limits.jsonElements || range.lists > v2Limits.jsonElements) throw tooManyElements(where);
  const array = numberArrays[datatype];
  // A value takes a comma at least, and eight bytes at most: eight times what was sent is the most that is allocated before a value has been read.
  if (array && (range.flat ? 2 * count < range.end - range.start : range.commas() === count - 1)) {
    const out = new array(count);
    if (readNumbers(bytes, range.start, range.end, shape, out)) return new DenseTensor(v2Types[datatype].dtype, shape, bytesOf(out));
  }
  const commas = range.commas();
  if (commas > v2Limits.jsonElements) throw tooManyElements(where);
  // Counted before anything is allocated.
  if (count > 0 && commas !== count - 1) throw refused(`${where} holds ${commas + 1} values, its shape [${shape.join(', ')}] takes ${count}`);
  const text = textOf(bytes.subarray(range.start, range.end), where);
  const parsed = parse(text, where);
  const items = flatten(parsed, shape, count, where);
  if (datatype === 'BYTES') return new StringTensor(shape, items.map((item, i) => stringAt(item, i, where)));
  return new DenseTensor(v2Types[datatype].dtype, shape, bytesOf(numbersOf(datatype, items, () => exactItems(text, shape, count, where), where)));
}

/** Of the datatypes that `readNumbers` reads. */
const numberArrays: Readonly<Partial<Record<V2Datatype, new (length: number) => NumberArray>>> = {
  FP32: Float32Array, FP64: Float64Array, INT8: Int8Array, INT16: Int16Array, INT32: Int32Array, UINT8: Uint8Array, UINT16: Uint16Array, UINT32: Uint32Array,
};

const tooManyElements = (where: string): PenjingError => tooLarge(`${where} has more than ${v2Limits.jsonElements} elements or lists as JSON`, BINARY);

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw refused(`the data of ${where} is no JSON`, /NaN|Infinity/.test(text) ? `JSON has no NaN and no Infinity. ${BINARY}` : undefined, cause);
  }
}

/** Row-major elements of a flat list, of a list nested as the shape says, or of a single value. */
function flatten(value: unknown, shape: Shape, count: number, where: string): readonly unknown[] {
  if (!Array.isArray(value)) {
    if (count === 1 && shape.length === 0) return [value];
    throw refused(`the data of ${where} is no list`);
  }
  const list = value as readonly unknown[];
  if (list.length === count && !list.some(Array.isArray)) return list;
  const flat: unknown[] = [];
  const visit = (item: unknown, depth: number): void => {
    if (depth === shape.length) flat.push(item);
    else if (Array.isArray(item) && item.length === shape[depth]) for (const inner of item as readonly unknown[]) visit(inner, depth + 1);
    else throw refused(`the data of ${where} is neither flat nor nested as its shape [${shape.join(', ')}]`);
  };
  visit(list, 0);
  return flat;
}

function stringAt(item: unknown, i: number, where: string): Uint8Array {
  if (typeof item !== 'string') throw refused(`element ${i} of ${where} is no text`);
  return encodeText(item);
}

/** Integers that a double cannot hold stand in quotes here, so that they come as texts. */
function exactItems(text: string, shape: Shape, count: number, where: string): readonly unknown[] {
  return flatten(JSON.parse(text.replace(/(?<![\d.eE+])-?\d{16,}(?![\d.eE])/g, '"$&"')), shape, count, where);
}

function numbersOf(datatype: V2Datatype, items: readonly unknown[], exact: () => readonly unknown[], where: string): TypedArray {
  if (datatype === 'BOOL') return Uint8Array.from(items, (item, i) => (item === true ? 1 : item === false ? 0 : wrong(item, i, datatype, where)));
  if (datatype === 'FP32' || datatype === 'FP64') return fill(datatype === 'FP32' ? new Float32Array(items.length) : new Float64Array(items.length), items, datatype, where);
  const [low, high] = v2Types[datatype].range!;
  if (datatype === 'INT64' || datatype === 'UINT64') {
    const other = items.findIndex((item) => !Number.isInteger(item));
    if (other >= 0) wrong(items[other], other, datatype, where);
    const wide = items.some((item) => !Number.isSafeInteger(item));
    const ctor = datatype === 'INT64' ? BigInt64Array : BigUint64Array;
    return ctor.from((wide ? exact() : items).map((item, i) => {
      if (typeof item !== 'string' && !Number.isSafeInteger(item)) wrong(item, i, datatype, where); // 1e300
      const value = BigInt(item as number | string);
      return value < low || value > high ? wrong(value, i, datatype, where) : value;
    }));
  }
  const out = new arrays[datatype as keyof typeof arrays](items.length);
  const [min, max] = [Number(low), Number(high)];
  for (let i = 0; i < items.length; i++) {
    const item = items[i];
    if (!Number.isInteger(item) || (item as number) < min || (item as number) > max) wrong(item, i, datatype, where);
    out[i] = item as number;
  }
  return out;
}

const arrays = { INT8: Int8Array, INT16: Int16Array, INT32: Int32Array, UINT8: Uint8Array, UINT16: Uint16Array, UINT32: Uint32Array } as const;

/** `1e400` parses to Infinity, and 1e39 is no float32. A loop: `from` with a function takes four times as long. */
function fill(out: Float32Array | Float64Array, items: readonly unknown[], datatype: V2Datatype, where: string): Float32Array | Float64Array {
  for (let i = 0; i < items.length; i++) {
    const item = items[i];
    if (typeof item !== 'number') wrong(item, i, datatype, where);
    out[i] = item;
    if (!Number.isFinite(out[i])) wrong(item, i, datatype, where);
  }
  return out;
}

function wrong(item: unknown, i: number, datatype: V2Datatype, where: string): never {
  const shown = typeof item === 'number' || typeof item === 'bigint' || typeof item === 'boolean' ? String(item) : typeof item === 'string' ? JSON.stringify(item.slice(0, 32)) : item === null ? 'null' : 'a list or object';
  throw refused(`element ${i} of ${where} is ${shown}, which is no ${datatype}`, hintOf(datatype));
}

function hintOf(datatype: V2Datatype): string {
  const { range } = v2Types[datatype];
  if (range) return `${datatype} takes integers from ${range[0]} to ${range[1]}.`;
  if (datatype === 'BOOL') return 'BOOL takes true and false.';
  return `${datatype} takes finite numbers${datatype === 'FP32' ? ' up to 3.4028235e38' : ''}. ${BINARY}`;
}

/** The flat JSON list of a tensor. Throws `E_REQUEST` for what JSON cannot say: half floats, NaN, bytes that are no text. */
export function tensorToJson(tensor: DenseTensor | StringTensor, where: string): string {
  const datatype = v2DatatypeOf(tensor.dtype);
  if (datatype === 'FP16' || datatype === 'BF16') throw refused(`${datatype} has no JSON form, and ${where} is asked for as JSON`, ASK_BINARY);
  if (tensor.kind === 'string') return `[${tensor.values.map((value, i) => JSON.stringify(textAt(value, i, where))).join(',')}]`;
  const data = tensor.data;
  if (data.length > v2Limits.jsonElements) throw tooLarge(`${where} has ${data.length} elements, too many for JSON`, ASK_BINARY);
  if (dtypes[tensor.dtype].kind === 'bool') return `[${Array.from(data as Uint8Array, (value) => (value ? 'true' : 'false')).join(',')}]`;
  if (dtypes[tensor.dtype].kind === 'float') {
    const bad = (data as Float32Array).findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw refused(`element ${bad} of ${where} is ${data[bad]}, which JSON cannot say`, ASK_BINARY);
  }
  return `[${data.join(',')}]`;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textAt(value: Uint8Array, i: number, where: string): string {
  try {
    return utf8.decode(value);
  } catch (cause) {
    throw new PenjingError('E_REQUEST', `element ${i} of ${where} is not UTF-8, which JSON cannot say`, { hint: ASK_BINARY, cause });
  }
}
