/**
 * Writes a FlatBuffer front to back: tables first, then the byte vectors, so that weights are holes which are filled when the file is saved.
 * FlatBuffers only ask that references point forward and that everything is aligned; field lists that are equal are written once.
 */
import { encodeText, PenjingError, type Tensor } from '@penjing/core';
import type { LayoutPiece } from '../layout.js';
import { type AnyField, type AnyTable, type ElementType, type WriteOf, widths } from './field-table.js';

/** Byte vectors start on this: the alignment LiteRT asks of weights, and enough for any vector instruction it uses. */
const PAYLOAD_ALIGNMENT = 16;

/** FlatBuffer offsets are 32 bits, and LiteRT verifies with 31. */
export const MAX_FLATBUFFER_BYTES = 2 ** 31 - 1;

export interface EncodedFlatBuffer {
  readonly size: number;
  readonly pieces: readonly LayoutPiece[];
}

/** Throws `E_TFLITE_SIZE` beyond 2 GiB. */
export function encodeFlatBuffer<T extends AnyTable>(of: T, value: WriteOf<T>, identifier: string): EncodedFlatBuffer {
  const writer = new Writer();
  writer.root(of, value, identifier);
  return writer.finish();
}

interface Payload {
  /** The field that refers to the vector. */
  readonly from: number;
  readonly content: Uint8Array | Tensor;
}

class Writer {
  #bytes = new Uint8Array(1 << 14);
  #view = new DataView(this.#bytes.buffer);
  #size = 0;
  readonly #vtables = new Map<string, number>();
  readonly #payloads: Payload[] = [];

  root(of: AnyTable, value: object, identifier: string): void {
    const from = this.#reserve(4, 4);
    for (const char of identifier) this.#view.setUint8(this.#reserve(1, 1), char.charCodeAt(0));
    this.#table(of, value as Readonly<Record<string, unknown>>, from);
  }

  finish(): EncodedFlatBuffer {
    const header = this.#size;
    const pieces: LayoutPiece[] = [];
    let at = header;
    for (const { from, content } of this.#payloads) {
      const length = content.byteLength;
      // The length stands in front of the aligned bytes.
      const start = Math.ceil((at + 4) / PAYLOAD_ALIGNMENT) * PAYLOAD_ALIGNMENT;
      this.#view.setUint32(from, start - 4 - from, true);
      const count = new Uint8Array(4);
      new DataView(count.buffer).setUint32(0, length, true);
      if (content instanceof Uint8Array) {
        pieces.push({ kind: 'bytes', offset: start - 4, bytes: concat(count, content) });
      } else {
        pieces.push({ kind: 'bytes', offset: start - 4, bytes: count }, { kind: 'tensor', offset: start, name: '', tensor: content });
      }
      at = start + length;
    }
    // Ends on a word, as the buffers of other writers do.
    const size = Math.ceil(at / 4) * 4;
    if (size > MAX_FLATBUFFER_BYTES) {
      throw new PenjingError('E_TFLITE_SIZE', `a FlatBuffer of ${size} bytes is beyond the 2 GiB that its offsets reach`);
    }
    return { size, pieces: [{ kind: 'bytes', offset: 0, bytes: this.#bytes.slice(0, header) }, ...pieces] };
  }

  #table(of: AnyTable, value: Readonly<Record<string, unknown>>, from: number): void {
    const slots = slotsOf(of, value);
    // Wide fields first: then nothing needs padding between them, after the 4 bytes that lead to the field list.
    const inline = [...slots].sort((a, b) => b.width - a.width || a.id - b.id);
    const alignment = Math.max(4, ...inline.map(({ width }) => width));
    let end = 4;
    const offsets = new Map<number, number>();
    for (const { id, width } of inline) {
      end = Math.ceil(end / width) * width;
      offsets.set(id, end);
      end += width;
    }
    const vtable = this.#vtable(slots.map(({ id }) => id), offsets, end);
    const at = this.#reserve(end, alignment);
    this.#view.setUint32(from, at - from, true);
    this.#view.setInt32(at, at - vtable, true);
    // References are filled in as their targets are written, in the order of the fields.
    for (const slot of slots) slot.write(this, at + offsets.get(slot.id)!);
  }

  /** The field list with these offsets; an equal one is used again. */
  #vtable(ids: readonly number[], offsets: ReadonlyMap<number, number>, tableBytes: number): number {
    const count = ids.length === 0 ? 0 : Math.max(...ids) + 1;
    const words = [4 + 2 * count, tableBytes, ...Array.from({ length: count }, (_, id) => offsets.get(id) ?? 0)];
    const key = words.join();
    const known = this.#vtables.get(key);
    if (known !== undefined) return known;
    const at = this.#reserve(2 * words.length, 4);
    words.forEach((word, i) => this.#view.setUint16(at + 2 * i, word, true));
    this.#vtables.set(key, at);
    return at;
  }

  scalar(at: number, type: ElementType, value: number | boolean): void {
    const view = this.#view;
    const number = Number(value);
    switch (type) {
      case 'bool': return view.setUint8(at, number);
      case 'int8': return view.setInt8(at, number);
      case 'uint8': return view.setUint8(at, number);
      case 'uint16': return view.setUint16(at, number, true);
      case 'int32': return view.setInt32(at, number, true);
      case 'uint32': return view.setUint32(at, number, true);
      case 'float32': return view.setFloat32(at, number, true);
      case 'int64': return view.setBigInt64(at, BigInt(number), true);
      case 'uint64': return view.setBigUint64(at, BigInt(number), true);
    }
  }

  reference(field: AnyField, from: number, value: unknown): void {
    switch (field.kind) {
      case 'table': return this.#table(field.of!, value as Record<string, unknown>, from);
      case 'string': return this.#string(from, value as string);
      case 'bytes': return void this.#payloads.push({ from, content: value as Uint8Array | Tensor });
      case 'scalars': {
        const list = value as readonly number[];
        const width = widths[field.type!];
        const start = this.#vector(from, list.length, width, width);
        list.forEach((item, i) => this.scalar(start + i * width, field.type!, item));
        return;
      }
      case 'tables': {
        const list = value as readonly Record<string, unknown>[];
        const start = this.#vector(from, list.length, 4, 4);
        list.forEach((item, i) => this.#table(field.of!, item, start + 4 * i));
        return;
      }
      default: throw new Error(`${field.kind} is no reference`);
    }
  }

  /** Length and room for the elements of a vector; gives the place of the first. */
  #vector(from: number, count: number, width: number, alignment: number): number {
    // The elements are aligned, and the length stands directly in front of them.
    while ((this.#size + 4) % Math.max(4, alignment) !== 0) this.#reserve(1, 1);
    const at = this.#reserve(4 + count * width, 4);
    this.#view.setUint32(from, at - from, true);
    this.#view.setUint32(at, count, true);
    return at + 4;
  }

  #string(from: number, text: string): void {
    const encoded = encodeText(text);
    const start = this.#vector(from, encoded.length, 1, 1);
    this.#bytes.set(encoded, start);
    // Strings end with a zero that their length does not count.
    this.#reserve(1, 1);
  }

  /** Room for zeroed bytes. */
  #reserve(bytes: number, alignment: number): number {
    const at = Math.ceil(this.#size / alignment) * alignment;
    this.#size = at + bytes;
    if (this.#size > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#size, 2 * this.#bytes.length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

interface Slot {
  readonly id: number;
  readonly width: number;
  write(writer: Writer, at: number): void;
}

/** The fields that have something to say, by id. */
function slotsOf(of: AnyTable, value: Readonly<Record<string, unknown>>): Slot[] {
  const slots = Object.entries(of.fields).flatMap(([name, field]): Slot[] => {
    const content = value[name];
    if (content === undefined) return [];
    if (field.kind === 'scalar') {
      if (content === field.fallback) return [];
      return [{ id: field.id, width: widths[field.type!], write: (writer, at) => writer.scalar(at, field.type!, content as number | boolean) }];
    }
    if (field.kind !== 'union') return [{ id: field.id, width: 4, write: (writer, at) => writer.reference(field, at, content) }];
    const { type, value: inner } = content as { readonly type: string; readonly value: object };
    const names = Object.keys(field.members!);
    return [
      { id: field.id, width: 1, write: (writer, at) => writer.scalar(at, 'uint8', names.indexOf(type) + 1) },
      { id: field.id + 1, width: 4, write: (writer, at) => writer.reference({ id: field.id + 1, kind: 'table', of: field.members![type]! }, at, inner) },
    ];
  });
  return slots.sort((a, b) => a.id - b.id);
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}
