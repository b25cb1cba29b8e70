/** Key-value pairs of a GGUF file as bytes. */

/** A value with the type that llama.cpp expects of its key. */
export type GgufPair =
  | readonly [key: string, type: 'string', value: string]
  | readonly [key: string, type: 'u32' | 'i32' | 'f32', value: number]
  | readonly [key: string, type: 'bool', value: boolean]
  | readonly [key: string, type: 'strings', value: readonly string[]]
  | readonly [key: string, type: 'i32s' | 'f32s', value: readonly number[]];

const CODES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8 } as const;
const ARRAY = 9;
const encoder = new TextEncoder();

/** Appends little-endian fields. */
export class GgufBytes {
  readonly #parts: Uint8Array[] = [];
  length = 0;

  bytes(part: Uint8Array): void {
    this.#parts.push(part);
    this.length += part.byteLength;
  }

  u32(value: number): void {
    this.bytes(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number): void {
    this.bytes(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  string(text: string): void {
    const bytes = encoder.encode(text);
    this.u64(bytes.byteLength);
    this.bytes(bytes);
  }

  pair(pair: GgufPair): void {
    this.string(pair[0]);
    switch (pair[1]) {
      case 'strings':
        this.#array(CODES.string, pair[2].length);
        for (const text of pair[2]) this.string(text);
        return;
      case 'i32s':
        this.#array(CODES.i32, pair[2].length);
        return this.bytes(new Uint8Array(Int32Array.from(pair[2]).buffer));
      case 'f32s':
        this.#array(CODES.f32, pair[2].length);
        return this.bytes(new Uint8Array(Float32Array.from(pair[2]).buffer));
      case 'string':
        this.u32(CODES.string);
        return this.string(pair[2]);
      case 'bool':
        this.u32(CODES.bool);
        return this.bytes(Uint8Array.of(pair[2] ? 1 : 0));
      case 'f32':
        this.u32(CODES.f32);
        return this.bytes(new Uint8Array(Float32Array.of(pair[2]).buffer));
      default:
        this.u32(CODES[pair[1]]);
        this.u32(pair[2]);
    }
  }

  /** Everything in one piece, with zeros up to a multiple of `alignment`. */
  padded(alignment: number): Uint8Array {
    const out = new Uint8Array(Math.ceil(this.length / alignment) * alignment);
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.byteLength;
    }
    return out;
  }

  #array(type: number, length: number): void {
    this.u32(ARRAY);
    this.u32(type);
    this.u64(length);
  }
}
