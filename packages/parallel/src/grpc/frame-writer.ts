/** Writes frames to a stream: what is urgent first, and never more than gRPC has taken on. */
import { PenjingError } from '@penjing/core';
import { encodeFrame, type Frame } from './frame.js';
import { UNWRITTEN_BYTES } from './stage-limits.js';

/** What both ends of a gRPC stream have. */
export interface Sink {
  write(bytes: Buffer, written: () => void): unknown;
}

interface Letter {
  readonly frames: Iterator<Frame>;
  readonly signal: AbortSignal | undefined;
  readonly settle: (error?: Error) => void;
}

export class FrameWriter {
  readonly #sink: Sink;
  readonly #urgent: Frame[] = [];
  #state: Frame | undefined;
  readonly #letters: Letter[] = [];
  #unwritten = 0;
  #writing = false;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** Frames of one request, in order and not mixed with those of others; resolves when gRPC has the last one. They stop when the signal fires. */
  send(frames: Iterable<Frame>, signal?: AbortSignal): Promise<void> {
    if (this.#closed) return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      // At once, not at its turn: the other side may never read so far, and its tensors are large.
      const leave = (): void => this.#settle(letter, signal?.reason as Error);
      const letter: Letter = {
        frames: frames[Symbol.iterator](), signal,
        settle: (error) => {
          signal?.removeEventListener('abort', leave);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#letters.push(letter);
      this.#start();
    });
  }

  /** A frame about the stream, a cancellation or a failure: it goes before all others, between the pieces of a request too. */
  urgent(frame: Frame): void {
    if (this.#closed) return;
    this.#urgent.push(frame);
    this.#start();
  }

  /** Frames said urgently that gRPC has not taken on yet. */
  get unread(): number {
    return this.#urgent.length;
  }

  /** An urgent frame that makes the one before it worthless. */
  state(frame: Frame): void {
    if (this.#closed) return;
    this.#state = frame;
    this.#start();
  }

  /** The stream has ended; what was not written never will be. */
  close(): void {
    this.#closed = true;
    this.#urgent.length = 0;
    this.#state = undefined;
    for (const letter of this.#letters.splice(0)) letter.settle(closed());
    this.#wake?.();
  }

  #start(): void {
    if (!this.#writing) void this.#write();
  }

  async #write(): Promise<void> {
    this.#writing = true;
    for (let bytes = this.#next(); bytes; bytes = this.#next()) {
      this.#put(bytes);
      while (this.#unwritten > UNWRITTEN_BYTES && !this.#closed) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    this.#writing = false;
  }

  #next(): Uint8Array | undefined {
    if (this.#closed) return undefined;
    const urgent = this.#takeState() ?? this.#urgent.shift();
    if (urgent) return encodeFrame(urgent);
    for (let letter = this.#letters[0]; letter; letter = this.#letters[0]) {
      try {
        letter.signal?.throwIfAborted();
        const { value, done } = letter.frames.next() as IteratorResult<Frame, void>;
        const bytes = value && encodeFrame(value);
        if (done || value?.last) this.#settle(letter);
        if (bytes) return bytes;
      } catch (error) {
        this.#settle(letter, error as Error);
      }
    }
    return undefined;
  }

  #takeState(): Frame | undefined {
    const state = this.#state;
    this.#state = undefined;
    return state;
  }

  #settle(letter: Letter, error?: Error): void {
    const at = this.#letters.indexOf(letter);
    if (at >= 0) this.#letters.splice(at, 1);
    letter.settle(error);
  }

  #put(bytes: Uint8Array): void {
    this.#unwritten += bytes.length;
    this.#sink.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), () => {
      this.#unwritten -= bytes.length;
      this.#wake?.();
    });
  }
}

function closed(): PenjingError {
  return new PenjingError('E_UNAVAILABLE', 'the stream has ended');
}
