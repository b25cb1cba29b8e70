/** Messages between the server and a model's process as frames of a byte stream: tensors go as the bytes that they are, strings among them, everything else through V8's serializer. */
import { deserialize, serialize } from 'node:v8';
import { packStrings, unpackStrings } from './packed-strings.js';
import type { FromModel, ToModel, WireTensor } from './protocol.js';

type Message = ToModel | FromModel;
type Tensors = Readonly<Record<string, WireTensor>>;

/** A tensor in the head of a frame: how many bytes of it lie behind the head, and how many strings these are. */
type Described = readonly [name: string, dtype: WireTensor['dtype'], shape: readonly number[], bytes: number, strings?: number];

/** What a head says; the first two are JSON, because V8's serializer takes five times as long for the few words of a small tensor. */
const [CALL, RESULT, OTHER] = [0, 1, 2];

/** Before each head: its length, and what it says. */
const PREFIX = 8;

/** A frame in parts, the first of which is prefix and head. */
export function encodeFrame(message: Message): Uint8Array[] {
  if ('method' in message && message.method === 'infer') {
    const { inputs, outputs } = message.params as { readonly inputs: Tensors; readonly outputs?: readonly string[] };
    return withTensors(CALL, inputs, (described) => [message.id, described, outputs]);
  }
  if ('result' in message && isInferred(message.result)) {
    const { outputs, computeMs } = message.result;
    return withTensors(RESULT, outputs, (described) => [message.id, described, computeMs]);
  }
  return [withPrefix(OTHER, serialize(message))];
}

function isInferred(result: unknown): result is { readonly outputs: Tensors; readonly computeMs: number } {
  return typeof result === 'object' && result !== null && 'computeMs' in result && 'outputs' in result;
}

function withTensors(kind: number, tensors: Tensors, head: (described: readonly Described[]) => readonly unknown[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  const described = Object.keys(tensors).map((name): Described => {
    const { dtype, shape, data } = tensors[name]!;
    const strings = !(data instanceof ArrayBuffer);
    const bytes = strings ? packStrings(data) : new Uint8Array(data);
    parts.push(bytes);
    return strings ? [name, dtype, shape, bytes.length, data.length] : [name, dtype, shape, bytes.length];
  });
  return [withPrefix(kind, JSON.stringify(head(described))), ...parts];
}

function withPrefix(kind: number, head: Buffer | string): Buffer {
  const length = Buffer.byteLength(head);
  const frame = Buffer.allocUnsafe(PREFIX + length);
  frame.writeUInt32LE(length, 0);
  frame.writeUInt32LE(kind, 4);
  if (typeof head === 'string') frame.write(head, PREFIX);
  else frame.set(head, PREFIX);
  return frame;
}

/** Puts frames together again, however the stream was cut. Every tensor gets a buffer of its own, filled as its bytes come. */
export class FrameReader<M extends Message> {
  readonly #deliver: (message: M) => void;
  readonly #prefix = Buffer.alloc(PREFIX);
  /** What is filled now, and what is called when it is full. */
  #target: Uint8Array = this.#prefix;
  #filled = 0;
  #full: () => void = this.#onPrefix;

  constructor(deliver: (message: M) => void) {
    this.#deliver = deliver;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const count = Math.min(chunk.length - at, this.#target.length - this.#filled);
      this.#target.set(count === chunk.length ? chunk : chunk.subarray(at, at + count), this.#filled);
      this.#filled += count;
      at += count;
      // A part of no bytes is full at once.
      while (this.#filled === this.#target.length) this.#full();
    }
  }

  #fill(target: Uint8Array, full: () => void): void {
    this.#target = target;
    this.#filled = 0;
    this.#full = full;
  }

  #onPrefix(): void {
    const kind = this.#prefix.readUInt32LE(4);
    const head = Buffer.allocUnsafe(this.#prefix.readUInt32LE(0));
    this.#fill(head, () => this.#onHead(kind, head));
  }

  #onHead(kind: number, head: Buffer): void {
    if (kind === OTHER) return this.#done(deserialize(head) as M);
    const [id, described, rest] = JSON.parse(head.toString()) as [number, readonly Described[], unknown];
    const tensors: [string, WireTensor][] = [];
    const next = (i: number): void => {
      if (i === described.length) return this.#done(messageOf(kind, id, Object.fromEntries(tensors), rest) as M);
      const [name, dtype, shape, size, strings] = described[i]!;
      const bytes = new Uint8Array(size);
      this.#fill(bytes, () => {
        tensors.push([name, { dtype, shape, data: strings === undefined ? bytes.buffer : unpackStrings(bytes, strings) }]);
        next(i + 1);
      });
    };
    next(0);
  }

  #done(message: M): void {
    this.#fill(this.#prefix, this.#onPrefix);
    this.#deliver(message);
  }
}

function messageOf(kind: number, id: number, tensors: Tensors, rest: unknown): Message {
  if (kind === RESULT) return { id, result: { outputs: tensors, computeMs: rest } };
  return { id, method: 'infer', params: { inputs: tensors, ...(Array.isArray(rest) && { outputs: rest as readonly string[] }) } };
}
