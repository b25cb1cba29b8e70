/** Decodes one field at a time from bytes in memory, by the tables of `schema.ts`, with protobufjs reading the wire. */
import { PenjingError } from '@penjing/core';
import protobuf, { type Reader } from 'protobufjs/minimal.js';
import { LAZY_ABOVE_BYTES, type OnnxLimits } from '../limits.js';
import type { AnyMessage, AnySchema, NamedField, Payload, ScalarKind } from './message.js';
import { decodeName } from './text.js';

/** What the messages of a file are, for errors. */
export interface WireFormat {
  /** Of malformed messages. */
  readonly code: `E_${string}`;
  /** As in "is no ONNX model". */
  readonly name: string;
  /** What stands in the way of a reader of a message that came over a network; files have advice of their own. */
  readonly hint?: string;
}

const onnxFormat: WireFormat = { code: 'E_ONNX_WIRE', name: 'ONNX model' };

/** What a file has asked for so far, against its limits. */
export class Budget {
  messages = 0;
  scalars = 0;

  constructor(readonly limits: OnnxLimits, readonly format: WireFormat = onnxFormat) {}

  enter(schema: AnySchema, depth: number): void {
    if (depth > this.limits.nesting) throw this.#over(`${schema.name} is nested deeper than ${this.limits.nesting} messages`);
    if (++this.messages > this.limits.messages) throw this.#over(`the ${this.#whole} holds more than ${this.limits.messages} messages`);
  }

  scalar(): void {
    if (++this.scalars > this.limits.scalars) throw this.#over(`the ${this.#whole} holds more than ${this.limits.scalars} values`);
  }

  get #whole(): string {
    return this.format.hint === undefined ? 'file' : this.format.name;
  }

  #over(message: string): PenjingError {
    return limit(message, this.format.hint);
  }
}

export function limit(message: string, hint = 'If the file is sound, raise the limit in the `limits` option.'): PenjingError {
  return new PenjingError('E_LIMIT', message, { hint });
}

export function malformed({ code, name, hint }: WireFormat, where: string, offset: number, what: string, cause?: unknown): PenjingError {
  return new PenjingError(code, `${where} at byte ${offset}: ${what}`, {
    hint: hint ?? `The file is damaged or is no ${name}; download or export it again.`,
    cause,
    details: { offset },
  });
}

/** Bytes in memory that stand at `base` of the file; `reader` moves over them. */
export interface Cursor {
  readonly reader: Reader;
  readonly base: number;
  readonly budget: Budget;
}

/** Over a plain view: `slice` of a Buffer would not copy. */
export const newReader = (bytes: Uint8Array): Reader =>
  new protobuf.Reader(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));

const scalarReaders: Record<ScalarKind, (reader: Reader) => unknown> = {
  int: (reader) => {
    const value = readInt64(reader);
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw new RangeError(`${value} is no usable size or number`);
    return number;
  },
  bigint: readInt64,
  bool: (reader) => readInt64(reader) !== 0n,
  float: (reader) => reader.float(),
  double: (reader) => reader.double(),
  string: (reader) => decodeName(reader.bytes()),
  // A copy: a view would keep the whole window of the file in memory.
  bytes: (reader) => reader.bytes().slice(),
};

/** Reads fields up to the end of the reader into `target`. */
export function decodeFields(schema: AnySchema, target: AnyMessage, cursor: Cursor, depth: number): void {
  const { reader } = cursor;
  while (reader.pos < reader.len) decodeField(schema, target, cursor, depth);
}

/** Reads the field that starts at the reader. Throws the code of the format, or `E_LIMIT`. */
export function decodeField(schema: AnySchema, target: AnyMessage, cursor: Cursor, depth: number): void {
  const { reader, base } = cursor;
  const start = reader.pos;
  try {
    const tag = reader.tag();
    const wire = tag & 7;
    const field = schema.byId.get(tag >>> 3);
    if (!field || !accepts(field, wire)) {
      reader.skipType(wire, 0, tag >>> 3);
      checkEnd(reader);
      (target.extra ??= []).push(reader.buf.slice(start, reader.pos));
      cursor.budget.scalar();
      return;
    }
    if (field.oneof) clearOneof(schema, target, field);
    if (field.kind === 'message') decodeChild(field, target, cursor, depth);
    else if (field.kind === 'payload') target[field.name] = readPayload(reader, base);
    else if (field.kind === 'chunks') readChunk(field, target, reader, base, wire);
    else readScalars(field, field.kind, target, cursor, wire);
    checkEnd(reader);
  } catch (error) {
    if (error instanceof PenjingError) throw error;
    throw malformed(cursor.budget.format, schema.name, base + start, error instanceof Error ? error.message : 'malformed', error);
  }
}

/** Repeated numbers may be packed or not, whatever the schema says; everything else has one wire type. */
export function accepts(field: NamedField, wire: number): boolean {
  return wire === field.wire || (wire === 2 && field.many);
}

/** The message that a field is decoded into: a new one, or for a repeated occurrence of a single field, the same. */
export function childMessage(field: NamedField, target: AnyMessage): AnyMessage {
  if (!field.many) return (target[field.name] ??= {}) as AnyMessage;
  const child: AnyMessage = {};
  list(target, field.name).push(child);
  return child;
}

export function clearOneof(schema: AnySchema, target: AnyMessage, chosen: NamedField): void {
  for (const field of schema.fields) {
    if (field.oneof === chosen.oneof && field !== chosen) delete target[field.name];
  }
}

export function addChunk(field: NamedField, target: AnyMessage, chunk: Payload): void {
  list(target, field.name).push(chunk);
}

function decodeChild(field: NamedField, target: AnyMessage, cursor: Cursor, depth: number): void {
  const { reader } = cursor;
  const schema = field.of!();
  cursor.budget.enter(schema, depth + 1);
  const length = reader.size();
  const end = reader.pos + length;
  const outer = reader.len;
  if (end > outer) throw new RangeError(`${schema.name} of ${length} bytes does not fit`);
  reader.len = end;
  decodeFields(schema, childMessage(field, target), cursor, depth + 1);
  reader.len = outer;
}

function readScalars(field: NamedField, kind: ScalarKind, target: AnyMessage, cursor: Cursor, wire: number): void {
  const { reader, budget } = cursor;
  const read = scalarReaders[kind];
  if (!field.many) {
    target[field.name] = read(reader);
    return;
  }
  const values = list(target, field.name);
  const packed = wire === 2 && field.wire !== 2;
  const end = packed ? reader.size() + reader.pos : 0;
  if (end > reader.len) throw new RangeError('a packed list does not fit');
  do {
    if (packed && reader.pos >= end) break;
    budget.scalar();
    values.push(read(reader));
  } while (packed);
  if (packed && reader.pos !== end) throw new RangeError('a packed list ends inside a number');
}

function readPayload(reader: Reader, base: number): Payload {
  const bytes = reader.bytes();
  return { length: bytes.length, offset: base + reader.pos - bytes.length, ...(bytes.length <= LAZY_ABOVE_BYTES && { bytes: bytes.slice() }) };
}

function readChunk(field: NamedField, target: AnyMessage, reader: Reader, base: number, wire: number): void {
  if (wire === 2) {
    addChunk(field, target, readPayload(reader, base));
    return;
  }
  const start = reader.pos;
  reader.skipType(wire);
  checkEnd(reader);
  appendElement(list(target, field.name) as Payload[], reader.buf.subarray(start, reader.pos));
}

/** Unpacked elements are gathered in a chunk that grows: an object for each would be many times the file. */
function appendElement(chunks: Payload[], element: Uint8Array): void {
  const last = chunks.at(-1);
  const length = last?.offset === -1 ? last.length : 0;
  let room = length > 0 ? last!.bytes! : new Uint8Array(64);
  if (length > 0) chunks.pop();
  if (length + element.length > room.length) {
    const larger = new Uint8Array(room.length * 2);
    larger.set(room);
    room = larger;
  }
  room.set(element, length);
  chunks.push({ length: length + element.length, offset: -1, bytes: room });
}

function checkEnd(reader: Reader): void {
  if (reader.pos > reader.len) throw new RangeError('the field does not fit in its message');
}

function list(target: AnyMessage, name: string): unknown[] {
  return (target[name] ??= []) as unknown[];
}

export function readInt64(reader: Reader): bigint {
  const first = reader.buf[reader.pos];
  if (first !== undefined && first < 0x80 && reader.pos < reader.len) {
    reader.pos++;
    return BigInt(first);
  }
  const value = reader.int64() as { low: number; high: number } | number;
  if (typeof value === 'number') return BigInt(value);
  return (BigInt(value.high) << 32n) | BigInt(value.low >>> 0);
}
