/** Encodes messages by the tables of `schema.ts`. Tensor payloads are left as holes of known size. */
import { PenjingError } from '@penjing/core';
import protobuf, { type Writer } from 'protobufjs/minimal.js';
import { MAX_PROTO_BYTES } from '../limits.js';
import type { AnyMessage, AnySchema, NamedField, Payload, ScalarKind, Schema } from './message.js';
import { encodeName } from './text.js';

/** Bytes, or a hole for a tensor. */
export type Piece = Uint8Array | Payload;

/** An encoded message: pieces that stand one after the other. */
export interface Encoded {
  readonly pieces: readonly Piece[];
  readonly size: number;
}

/** Throws `E_ONNX_SIZE` when a message reaches 2 GiB. */
export function encodeMessage<T extends object>(schema: Schema<T>, message: T): Encoded {
  const rope = new Rope();
  writeFields(rope, schema, message as AnyMessage);
  return rope.finish(schema);
}

function writeFields(rope: Rope, schema: AnySchema, message: AnyMessage): void {
  for (const field of schema.fields) {
    const value = message[field.name];
    if (value === undefined) continue;
    if (field.many) for (const item of value as unknown[]) writeField(rope, field, item);
    else writeField(rope, field, value);
  }
  for (const raw of message.extra ?? []) rope.writer.raw(raw);
}

/** The bytes of a message without holes. */
export function encodeBytes<T extends object>(schema: Schema<T>, message: T): Uint8Array {
  const { pieces } = encodeMessage(schema, message);
  const [only] = pieces;
  if (pieces.length === 0) return new Uint8Array(0);
  if (pieces.length > 1 || !(only instanceof Uint8Array)) {
    throw new PenjingError('E_ONNX_WRITE', `${schema.name} holds tensors that are not in memory`);
  }
  return only;
}

const scalarWriters: Record<ScalarKind, (writer: Writer, value: never) => void> = {
  int: (writer, value: number) => void writer.int64(Number.isInteger(value) && value >= 0 && value < 2 ** 31 ? value : wide(BigInt(value))),
  bigint: (writer, value: bigint) => void writer.int64(wide(value)),
  bool: (writer, value: boolean) => void writer.bool(value),
  float: (writer, value: number) => void writer.float(value),
  double: (writer, value: number) => void writer.double(value),
  string: (writer, value: string) => void writer.bytes(encodeName(value)),
  bytes: (writer, value: Uint8Array) => void writer.bytes(value),
};

function writeField(rope: Rope, field: NamedField, value: unknown): void {
  const packed = field.kind === 'chunks'; // whole chunks are written, as packed lists
  rope.writer.uint32((field.id << 3) | (packed ? 2 : field.wire));
  if (field.kind === 'message') writeMessage(rope, field.of!(), value as AnyMessage);
  else if (field.kind === 'payload' || field.kind === 'chunks') rope.append(payloadPieces(value as Payload));
  else scalarWriters[field.kind](rope.writer, value as never);
}

/** Without holes the length is put in place afterwards; with holes the message is encoded on its own. */
function writeMessage(rope: Rope, schema: AnySchema, message: AnyMessage): void {
  if (!isPlain(schema, message)) return rope.append(encodeMessage(schema, message));
  rope.writer.fork();
  writeFields(rope, schema, message);
  rope.writer.ldelim();
}

function isPlain(schema: AnySchema, message: AnyMessage): boolean {
  return holders(schema).every((field) => {
    const value = message[field.name];
    if (value === undefined) return true;
    if (field.kind !== 'message') return false;
    const inner = field.of!();
    return field.many ? (value as AnyMessage[]).every((item) => isPlain(inner, item)) : isPlain(inner, value as AnyMessage);
  });
}

const knownHolders = new Map<AnySchema, readonly NamedField[]>();

/** The fields of a message under which payloads may stand, itself included. */
function holders(schema: AnySchema): readonly NamedField[] {
  let fields = knownHolders.get(schema);
  if (!fields) {
    fields = schema.fields.filter((field) => reachesPayload(field, new Set()));
    knownHolders.set(schema, fields);
  }
  return fields;
}

function reachesPayload(field: NamedField, seen: Set<AnySchema>): boolean {
  if (field.kind !== 'message') return field.kind === 'payload' || field.kind === 'chunks';
  const schema = field.of!();
  if (seen.has(schema)) return false;
  seen.add(schema);
  return schema.fields.some((inner) => reachesPayload(inner, seen));
}

function payloadPieces(payload: Payload): Encoded {
  return { pieces: [payload.bytes?.subarray(0, payload.length) ?? payload], size: payload.length };
}

class Rope {
  readonly #pieces: Piece[] = [];
  #size = 0;
  writer: Writer = new protobuf.Writer();

  /** A length and what has that length. Small whole parts are copied, the rest is kept in pieces. */
  append({ pieces, size }: Encoded): void {
    const [first] = pieces;
    if (pieces.length === 0) this.writer.uint32(0);
    else if (pieces.length === 1 && first instanceof Uint8Array) this.writer.bytes(first);
    else {
      this.writer.uint32(size);
      this.#flush();
      this.#pieces.push(...pieces);
      this.#size += size;
    }
  }

  finish(schema: AnySchema): Encoded {
    this.#flush();
    if (this.#size > MAX_PROTO_BYTES) {
      throw new PenjingError('E_ONNX_SIZE', `${schema.name} would take ${this.#size} bytes, protobuf allows ${MAX_PROTO_BYTES}`, {
        hint: 'Store the weights as external data (`externalData: \'auto\'`).',
      });
    }
    return { pieces: this.#pieces, size: this.#size };
  }

  #flush(): void {
    if (this.writer.len === 0) return;
    const bytes = this.writer.finish();
    this.#pieces.push(bytes);
    this.#size += bytes.length;
    this.writer = new protobuf.Writer();
  }
}

/** The two halves that protobufjs takes for a 64-bit integer. */
function wide(value: bigint): never {
  const low = Number(value & 0xffffffffn);
  const high = Number((value >> 32n) & 0xffffffffn);
  return { low: low | 0, high: high | 0, unsigned: false } as never;
}
