/** Vectors as one row of numbers, which is read and written in chunks. */
import { broken } from './frame.js';

/** 1 MiB: what a rank holds of each other one is a few of them. */
export const CHUNK = 2 ** 18;

export class VectorTape {
  readonly #vectors: readonly Float32Array[];
  readonly length: number;

  constructor(vectors: readonly Float32Array[]) {
    this.#vectors = vectors;
    this.length = vectors.reduce((sum, { length }) => sum + length, 0);
  }

  get chunks(): number {
    return Math.ceil(this.length / CHUNK);
  }

  sizeOf(chunk: number): number {
    return Math.min(CHUNK, this.length - chunk * CHUNK);
  }

  /** A copy. */
  read(chunk: number): Float32Array<ArrayBuffer> {
    const values = new Float32Array(this.sizeOf(chunk));
    this.#pieces(chunk, (vector, from, at, count) => values.set(vector.subarray(from, from + count), at));
    return values;
  }

  write(chunk: number, values: Float32Array): void {
    this.#pieces(chunk, (vector, from, at, count) => vector.set(values.subarray(at, at + count), from));
  }

  #pieces(chunk: number, visit: (vector: Float32Array, from: number, at: number, count: number) => void): void {
    const [start, end] = [chunk * CHUNK, chunk * CHUNK + this.sizeOf(chunk)];
    let offset = 0;
    for (const vector of this.#vectors) {
      const [from, to] = [Math.max(start, offset), Math.min(end, offset + vector.length)];
      if (from < to) visit(vector, from - offset, from - start, to - from);
      offset += vector.length;
    }
  }
}

export function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Messages lie anywhere in their buffers, floats must not. Throws `E_REQUEST`. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  if (bytes.byteLength % 4 !== 0) throw broken('a chunk is cut off');
  return new Float32Array(new Uint8Array(bytes).buffer);
}
