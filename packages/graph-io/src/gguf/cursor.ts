/** Reads a GGUF header field by field, in either byte order, from the bytes that are there so far. */
import { type ByteSource, PenjingError } from '@penjing/core';

/** More bytes of the file are needed than were given; the caller reads more and starts again. */
export class NeedsMore extends Error {
  constructor(readonly end: number) {
    super(`${end} bytes are needed`);
  }
}

export class Cursor {
  readonly uri: string;
  /** Of the whole file, of which `bytes` are the first. */
  readonly fileSize: number;
  littleEndian = true;
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #text = new TextDecoder('utf-8', { ignoreBOM: true });
  readonly #strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

  constructor(source: ByteSource, bytes: Uint8Array) {
    this.uri = source.uri;
    this.fileSize = source.size;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  i8(): number {
    return this.#view.getInt8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), this.littleEndian);
  }

  i16(): number {
    return this.#view.getInt16(this.#take(2), this.littleEndian);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), this.littleEndian);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), this.littleEndian);
  }

  f32(): number {
    return this.#view.getFloat32(this.#take(4), this.littleEndian);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), this.littleEndian);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), this.littleEndian);
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), this.littleEndian);
  }

  /** A copy of the next `length` bytes, at a multiple of 8. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const at = this.#take(length);
    return new Uint8Array(this.#bytes.subarray(at, at + length));
  }

  /**
   * A count of things that take at least `leastBytes` each: more than the file has room for is refused before anything
   * of that size is asked for. `what` is named in the error.
   */
  count(leastBytes: number, what: string): number {
    const count = this.u64();
    const room = Math.floor((this.fileSize - this.at) / leastBytes);
    if (count <= BigInt(room)) return Number(count);
    throw new PenjingError('E_TRUNCATED', `${this.uri} declares ${count} ${what}, its ${this.fileSize} bytes hold at most ${room}`, {
      hint: 'The file is damaged or cut off; download it again.',
      details: { offset: this.at - 8 },
    });
  }

  /** A string; bytes that are no UTF-8 become U+FFFD unless `strict`. */
  string(what: string, strict = false, mostBytes = Infinity): string {
    const length = this.count(1, `bytes of ${what}`);
    if (length > mostBytes) throw new PenjingError('E_LIMIT', `${this.uri}: ${what} of ${length} bytes, at most ${mostBytes} are read`);
    const at = this.#take(length);
    const bytes = this.#bytes.subarray(at, at + length);
    if (!strict) return this.#text.decode(bytes);
    try {
      return this.#strict.decode(bytes);
    } catch (cause) {
      throw new PenjingError('E_GGUF', `${this.uri}: ${what} at byte ${at} is no UTF-8`, { cause });
    }
  }

  #take(length: number): number {
    const { at } = this;
    if (at + length > this.#bytes.byteLength) {
      if (at + length <= this.fileSize) throw new NeedsMore(at + length);
      throw new PenjingError('E_TRUNCATED', `${this.uri} is cut off: its header goes on at byte ${at}, the file ends at ${this.fileSize}`, {
        hint: 'Download the file again.',
        details: { size: this.fileSize },
      });
    }
    this.at = at + length;
    return at;
  }
}
