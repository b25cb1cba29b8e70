/**
 * Reads a message of any size from a source: small parts are decoded from one read, large ones are walked field by
 * field, and tensor payloads are stepped over. A model of many gigabytes costs a few reads per large tensor.
 */
import { type ByteSource, PenjingError } from '@penjing/core';
import type { Reader } from 'protobufjs/minimal.js';
import { DECODE_AT_ONCE_BYTES, LAZY_ABOVE_BYTES, type OnnxLimits, WINDOW_BYTES } from '../limits.js';
import { accepts, addChunk, Budget, childMessage, clearOneof, decodeField, decodeFields, limit, malformed, newReader } from './decode.js';
import type { AnyMessage, AnySchema, Schema } from './message.js';

export interface WalkOptions {
  readonly limits: OnnxLimits;
  readonly signal?: AbortSignal | undefined;
}

/** The message that fills the source. Throws `E_ONNX_WIRE`, `E_TRUNCATED` or `E_LIMIT`. */
export async function walkMessage<T extends object>(schema: Schema<T>, source: ByteSource, options: WalkOptions): Promise<T> {
  const target: AnyMessage = {};
  const walker = new Walker(source, options);
  await walker.walk(schema, target, 0, source.size, 0);
  return target as T;
}

/** A header is a tag and a length: at most 5 + 10 bytes; an unknown number may follow. */
const HEADER_BYTES = 32;

class Walker {
  readonly #source: ByteSource;
  readonly #budget: Budget;
  readonly #signal: AbortSignal | undefined;
  #reader: Reader = newReader(new Uint8Array(0));
  #start = 0;
  #end = 0;
  #next: number = WINDOW_BYTES.first;

  constructor(source: ByteSource, options: WalkOptions) {
    this.#source = source;
    this.#budget = new Budget(options.limits);
    this.#signal = options.signal;
  }

  async walk(schema: AnySchema, target: AnyMessage, start: number, end: number, depth: number): Promise<void> {
    this.#budget.enter(schema, depth);
    // The outermost message is always walked: there a cut file shows as what it is.
    if (depth > 0 && end - start <= DECODE_AT_ONCE_BYTES) {
      await this.#decode(schema, target, start, end, depth);
      return;
    }
    let at = start;
    while (at < end) at = await this.#field(schema, target, at, end, depth);
  }

  /** Handles the field at `at`; returns where the next one starts. */
  async #field(schema: AnySchema, target: AnyMessage, at: number, end: number, depth: number): Promise<number> {
    if (!this.#has(at, Math.min(at + HEADER_BYTES, end))) await this.#load(at, Math.min(at + HEADER_BYTES, end));
    const { tag, length, body } = this.#header(schema, at, end);
    const wire = tag & 7;
    const stop = body + length;
    if (stop > end) throw this.#cut(schema, at, stop, end);
    const field = schema.byId.get(tag >>> 3);
    const known = field !== undefined && accepts(field, wire);
    if (known && wire === 2 && field.kind === 'message' && length > DECODE_AT_ONCE_BYTES) {
      if (field.oneof) clearOneof(schema, target, field);
      await this.walk(field.of!(), childMessage(field, target), body, stop, depth + 1);
    } else if (known && wire === 2 && field.kind === 'payload' && length > LAZY_ABOVE_BYTES) {
      target[field.name] = { length, offset: body };
    } else if (known && wire === 2 && field.kind === 'chunks' && length > LAZY_ABOVE_BYTES) {
      addChunk(field, target, { length, offset: body });
    } else if (wire === 2) {
      if (length > this.#budget.limits.fieldBytes) throw limit(`a field of ${schema.name} has ${length} bytes`);
      if (!this.#has(at, stop)) await this.#load(at, stop);
      this.#one(schema, target, at, stop, depth);
    } else {
      return this.#short(schema, target, at, end, wire, depth);
    }
    return stop;
  }

  /** A number, or a group nobody knows, whose end is found by reading it. */
  async #short(schema: AnySchema, target: AnyMessage, at: number, end: number, wire: number, depth: number): Promise<number> {
    const stop = Math.min(end, at + (wire === 3 ? WINDOW_BYTES.last : HEADER_BYTES));
    if (!this.#has(at, stop)) await this.#load(at, stop);
    return this.#one(schema, target, at, stop, depth);
  }

  #one(schema: AnySchema, target: AnyMessage, at: number, stop: number, depth: number): number {
    this.#seek(at, stop);
    decodeField(schema, target, { reader: this.#reader, base: this.#start, budget: this.#budget }, depth);
    return this.#start + this.#reader.pos;
  }

  async #decode(schema: AnySchema, target: AnyMessage, start: number, end: number, depth: number): Promise<void> {
    if (!this.#has(start, end)) await this.#load(start, end);
    this.#seek(start, end);
    decodeFields(schema, target, { reader: this.#reader, base: this.#start, budget: this.#budget }, depth);
  }

  #header(schema: AnySchema, at: number, end: number): { tag: number; length: number; body: number } {
    this.#seek(at, Math.min(at + HEADER_BYTES, end));
    try {
      const tag = this.#reader.tag();
      if ((tag & 7) !== 2) return { tag, length: 0, body: this.#start + this.#reader.pos };
      const length = this.#reader.size();
      return { tag, length, body: this.#start + this.#reader.pos };
    } catch (error) {
      throw malformed(this.#budget.format, schema.name, at, error instanceof Error ? error.message : 'malformed', error);
    }
  }

  #cut(schema: AnySchema, at: number, stop: number, end: number): PenjingError {
    if (stop <= this.#source.size) return malformed(this.#budget.format, schema.name, at, `a field ends at ${stop}, its message at ${end}`);
    return new PenjingError('E_TRUNCATED', `${schema.name} at byte ${at} reaches to byte ${stop} of ${this.#source.size}`, {
      hint: 'The file is cut short, or is no ONNX model; download or export it again.',
      details: { offset: at, size: this.#source.size },
    });
  }

  #has(start: number, end: number): boolean {
    return start >= this.#start && end <= this.#end;
  }

  #seek(start: number, end: number): void {
    this.#reader.pos = start - this.#start;
    this.#reader.len = end - this.#start;
  }

  async #load(start: number, end: number): Promise<void> {
    this.#signal?.throwIfAborted();
    const onward = start <= this.#end && start >= this.#start;
    this.#next = onward ? Math.min(this.#next * 2, WINDOW_BYTES.last) : WINDOW_BYTES.first;
    const length = Math.min(Math.max(end - start, this.#next), this.#source.size - start);
    const bytes = await this.#source.read(start, length);
    this.#reader = newReader(bytes);
    this.#start = start;
    this.#end = start + bytes.length;
  }
}
