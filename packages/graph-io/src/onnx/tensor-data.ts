/** Where TensorProto keeps the elements of each type when not in raw_data, and how varints become those elements. */
import { byteSize, type DType, dtypes, PenjingError } from '@penjing/core';
import type { Payload } from './message.js';
import type { TensorProto } from './schema.js';

type DataField = 'floatData' | 'doubleData' | 'int32Data' | 'int64Data' | 'uint64Data';

export const dataFields: readonly DataField[] = ['floatData', 'doubleData', 'int32Data', 'int64Data', 'uint64Data'];

/** Types that have a field of their own; all others (16 bits and less, packed bytes too) live in int32_data. */
const ownFields: Partial<Record<DType, DataField>> = {
  float32: 'floatData', complex64: 'floatData', float64: 'doubleData', complex128: 'doubleData',
  int64: 'int64Data', uint32: 'uint64Data', uint64: 'uint64Data',
};

export function dataFieldOf(dtype: DType): DataField {
  return ownFields[dtype] ?? 'int32Data';
}

export const holdsVarints = (field: DataField): boolean => field !== 'floatData' && field !== 'doubleData';

/** The chunks of a tensor; those of another type's field do not belong to it and are ignored, as ONNX Runtime does. */
export function dataChunks(proto: TensorProto, dtype: DType): readonly Payload[] {
  return proto[dataFieldOf(dtype)] ?? [];
}

/** Varints to little-endian elements. Throws `E_ONNX_TENSOR` unless exactly `count` elements are there. */
export function elementsOfVarints(dtype: DType, count: number, chunks: readonly Uint8Array[], name: string): Uint8Array {
  const { bits } = dtypes[dtype];
  const width = Math.max(1, bits / 8); // sub-byte types: one packed byte per number
  const available = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const numbers = bits < 8 ? byteSize(dtype, count) : count;
  // A varint takes a byte at least: nothing is allocated for numbers that cannot be there.
  if (numbers > available) throw wrongCount(name, numbers, `at most ${available}`);
  const out = new Uint8Array(numbers * width);
  let at = 0;
  for (const chunk of chunks) {
    for (let i = 0; i < chunk.length; ) {
      if (at === out.length) throw wrongCount(name, numbers, 'more');
      i = varint(chunk, i, out, at, width, name);
      at += width;
    }
  }
  if (at !== out.length) throw wrongCount(name, numbers, String(at / width));
  return out;
}

/** Decodes one varint at `i`, writes its low bytes and returns the position after it. */
function varint(chunk: Uint8Array, i: number, out: Uint8Array, at: number, width: number, name: string): number {
  let low = 0;
  let high = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = chunk[i++];
    if (byte === undefined || shift > 63) throw new PenjingError('E_ONNX_TENSOR', `${name}: a number of its data is cut`);
    const part = byte & 0x7f;
    if (shift < 28) low |= part << shift;
    else if (shift === 28) {
      low |= part << 28;
      high |= part >>> 4;
    } else high |= part << (shift - 32);
    if (byte < 0x80) break;
  }
  for (let k = 0; k < width; k++) out[at + k] = k < 4 ? low >>> (8 * k) : high >>> (8 * (k - 4));
  return i;
}

function wrongCount(name: string, expected: number, found: string): PenjingError {
  return new PenjingError('E_ONNX_TENSOR', `${name} needs ${expected} numbers, its data holds ${found}`, {
    hint: 'The file is damaged; export it again.',
  });
}
