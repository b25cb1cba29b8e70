/** InferTensorContents: the elements of a tensor in typed fields, the form of small messages written by hand. */
import { bytesOf, DenseTensor, type Shape, StringTensor, typedView, type TypedArray } from '@penjing/core';
import protobuf, { type Reader } from 'protobufjs/minimal.js';
import { newReader, readInt64 } from '../../onnx/decode.js';
import type { Payload } from '../../onnx/message.js';
import { type V2Datatype, v2DatatypeOf, v2Types } from '../datatypes.js';
import { refused } from '../refused.js';
import { sizeOf } from '../tensor-bytes.js';
import type { ContentsMessage } from './schema.js';
import { payloadBytes, payloadOf } from './wire.js';

const fields = ['bools', 'ints', 'longs', 'uints', 'ulongs', 'floats', 'doubles', 'texts'] as const;

/** The tensor in `contents`; `whole` is the message it was read from. Throws `E_REQUEST` for another field or number of elements. */
export function tensorFromContents(datatype: V2Datatype, shape: Shape, count: number, contents: ContentsMessage, whole: Uint8Array, where: string): DenseTensor | StringTensor {
  const { contents: field, dtype } = v2Types[datatype];
  if (!field) throw refused(`${datatype} has no field in InferTensorContents, and ${where} is sent in one`, 'Send the bytes in raw_input_contents.');
  const other = fields.find((name) => name !== field && (contents[name]?.length ?? 0) > 0);
  if (other) throw refused(`${where} is ${datatype} and its contents stand in ${other}`, `They belong in ${field}.`);
  if (field === 'texts') {
    const texts = contents.texts ?? [];
    if (texts.length !== count) throw refused(`${where} holds ${texts.length} values, its shape [${shape.join(', ')}] takes ${count}`);
    return new StringTensor(shape, texts);
  }
  const size = sizeOf(datatype, count, where);
  const packed = join((contents[field] ?? []).map((chunk: Payload) => payloadBytes(whole, chunk)));
  if (field === 'floats' || field === 'doubles') {
    if (packed.length !== size) throw refused(`${where} holds ${packed.length / (size / count || 4)} values, its shape [${shape.join(', ')}] takes ${count}`);
    return new DenseTensor(dtype, shape, packed);
  }
  // A varint takes a byte at least: checked before anything of the claimed size is allocated.
  if (count > packed.length) throw refused(`${where} holds fewer values than its shape [${shape.join(', ')}] takes`);
  return new DenseTensor(dtype, shape, bytesOf(readVarints(datatype, packed, typedView(dtype, new Uint8Array(size)), where)));
}

/** The contents of a tensor; throws `E_DTYPE` for half floats, which have none. */
export function contentsOf(tensor: DenseTensor | StringTensor): ContentsMessage {
  const datatype = v2DatatypeOf(tensor.dtype);
  const field = v2Types[datatype].contents;
  if (tensor.kind === 'string') return { texts: [...tensor.values] };
  if (!field) throw refused(`${datatype} has no field in InferTensorContents`, 'Use raw contents.');
  if (field === 'floats' || field === 'doubles') return { [field]: [payloadOf(tensor.bytes)] };
  const writer = new protobuf.Writer();
  for (const value of tensor.data) write[field as Varints](writer, value);
  return { [field]: [payloadOf(writer.finish())] };
}

type Varints = 'bools' | 'ints' | 'longs' | 'uints' | 'ulongs';
type Writer = InstanceType<typeof protobuf.Writer>;

const long = (value: bigint): { low: number; high: number; unsigned: boolean } => ({ low: Number(BigInt.asIntN(32, value)), high: Number(BigInt.asIntN(32, value >> 32n)), unsigned: false });

const write: Record<Varints, (writer: Writer, value: number | bigint) => void> = {
  bools: (writer, value) => void writer.bool(value !== 0),
  ints: (writer, value) => void writer.int32(value as number),
  uints: (writer, value) => void writer.uint32(value as number),
  longs: (writer, value) => void writer.int64(long(value as bigint)),
  ulongs: (writer, value) => void writer.uint64(long(value as bigint)),
};

const read: Record<Varints, (reader: Reader) => number | bigint> = {
  bools: (reader) => Number(reader.bool()),
  ints: (reader) => reader.int32(),
  uints: (reader) => reader.uint32(),
  longs: readInt64,
  ulongs: (reader) => BigInt.asUintN(64, readInt64(reader)),
};

function readVarints(datatype: V2Datatype, packed: Uint8Array, into: TypedArray, where: string): TypedArray {
  const { range, contents } = v2Types[datatype];
  const next = read[contents as Varints];
  const wide = contents === 'longs' || contents === 'ulongs';
  const [low, high] = range && !wide ? [Number(range[0]), Number(range[1])] : [-Infinity, Infinity];
  const reader = newReader(packed);
  let at = 0;
  try {
    for (; reader.pos < reader.len; at++) {
      const value = next(reader);
      if (at >= into.length) throw refused(`${where} holds more than the ${into.length} values of its shape`);
      if (value < low || value > high) throw refused(`element ${at} of ${where} is ${value}, which is no ${datatype}`, `${datatype} takes integers from ${low} to ${high}.`);
      into[at] = value;
    }
  } catch (cause) {
    if (cause instanceof RangeError) throw refused(`the contents of ${where} end inside a number`, undefined, cause);
    throw cause;
  }
  if (at !== into.length) throw refused(`${where} holds ${at} values, its shape takes ${into.length}`);
  return into;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
