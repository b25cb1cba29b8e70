/** Tensors as raw bytes: little-endian, row-major; byte strings each behind their length as uint32. */
import { byteSize, DenseTensor, dtypes, isPenjingError, type Shape, StringTensor } from '@penjing/core';
import { type V2Datatype, v2Types } from './datatypes.js';
import { refused } from './refused.js';

/** A tensor over `bytes`, which are not copied. Throws `E_REQUEST` when they are not those of the shape. */
export function tensorFromBytes(datatype: V2Datatype, shape: Shape, count: number, bytes: Uint8Array, where: string): DenseTensor | StringTensor {
  if (datatype === 'BYTES') return new StringTensor(shape, splitStrings(bytes, count, where));
  const { dtype } = v2Types[datatype];
  const size = sizeOf(datatype, count, where);
  if (size !== bytes.length) throw refused(`${where} has ${bytes.length} bytes, ${datatype} [${shape.join(', ')}] takes ${size}`);
  if (datatype === 'BOOL' && bytes.some((byte) => byte > 1)) throw refused(`${where} holds bytes other than 0 and 1`, 'A BOOL is one byte, 0 or 1.');
  return new DenseTensor(dtype, shape, bytes);
}

/** Bytes of `count` elements; throws `E_REQUEST` when that is no size. */
export function sizeOf(datatype: V2Datatype, count: number, where: string): number {
  try {
    return byteSize(v2Types[datatype].dtype, count);
  } catch (cause) {
    throw isPenjingError(cause) ? refused(`${where}: ${cause.message}`, undefined, cause) : cause;
  }
}

/** The bytes of a tensor on the wire; those of numbers are not copied. */
export function tensorToBytes(tensor: DenseTensor | StringTensor): Uint8Array {
  return tensor.kind === 'dense' ? tensor.bytes : joinStrings(tensor.values);
}

/** Bytes that a tensor takes on the wire. */
export function wireSize(tensor: DenseTensor | StringTensor): number {
  return tensor.kind === 'dense' ? tensor.byteLength : tensor.byteLength + 4 * tensor.values.length;
}

/** Bits of an element on the wire: 0 when they are not fixed. */
export const elementBits = (datatype: V2Datatype): number => dtypes[v2Types[datatype].dtype].bits;

function splitStrings(bytes: Uint8Array, count: number, where: string): Uint8Array[] {
  if (count > bytes.length / 4) throw refused(`${where} has ${bytes.length} bytes, too few for ${count} byte strings`, 'Each stands behind its length in 4 bytes.');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const end = at + 4 <= bytes.length ? at + 4 + view.getUint32(at, true) : Infinity;
    if (end > bytes.length) throw refused(`byte string ${i} of ${where} ends after its bytes`, 'Each stands behind its length in 4 bytes, little-endian.');
    values.push(bytes.subarray(at + 4, end));
    at = end;
  }
  if (at !== bytes.length) throw refused(`${where} has ${bytes.length - at} bytes after its ${count} byte strings`);
  return values;
}

function joinStrings(values: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(values.reduce((sum, { length }) => sum + 4 + length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const value of values) {
    view.setUint32(at, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + value.length;
  }
  return bytes;
}
