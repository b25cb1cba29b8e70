/** Arbitraries for kernel tests: floats by their bits, arrays inside and outside the arena, and comparisons that canonicalise NaN. */
import fc from 'fast-check';
import type { Kernels, TypedArray } from '../src/kernels.js';

const edges = [
  0, 0x80000000, 1, 0x80000001, 0x007fffff, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000,
  0x7f800001, 0xffffffff, 0x3f000000, 0xbf000000, 0x3effffff, 0x33000000, 0x387fffff, 0x38800000, 0x477fefff, 0x477ff000, 0x47800000,
];

/** Bits of any float32: NaN with payloads, infinities and subnormals are frequent. */
export const anyWord = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 0xffffffff }) },
  { weight: 1, arbitrary: fc.constantFrom(...edges) },
);

/** Bits of a float32 as weights have them. */
export const weightWord = fc.tuple(fc.integer({ min: 0, max: 0x7fffff }), fc.integer({ min: 112, max: 126 }), fc.boolean()).map(
  ([mantissa, exponent, negative]) => ((negative ? 0x80000000 : 0) | (exponent << 23) | mantissa) >>> 0,
);

/** A deterministic stream of 32-bit words, cheap enough for long arrays. */
export function randomWords(seed: number, count: number): Uint32Array {
  let state = seed | 1;
  return Uint32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  });
}

export function asFloats(words: ArrayLike<number>): Float32Array {
  return new Float32Array(Uint32Array.from(words).buffer);
}

/** The same array in the arena, `skew` elements off its alignment; or the array itself when `inside` is false. */
export function placed<T extends TypedArray>(kernels: Kernels, array: T, inside: boolean, skew = 0): T {
  if (!inside) return array;
  const width = array.BYTES_PER_ELEMENT;
  const room = kernels.arena.alloc(array.byteLength + skew * width).subarray(skew * width);
  room.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  const ctor = array.constructor as new (buffer: ArrayBufferLike, offset: number, length: number) => T;
  return new ctor(room.buffer, room.byteOffset, array.length);
}

/** The bits of floats, with one NaN. */
export function canonical(floats: Float32Array): Uint32Array {
  const words = new Uint32Array(floats.buffer, floats.byteOffset, floats.length).slice();
  for (let i = 0; i < words.length; i++) if ((words[i]! & 0x7fffffff) > 0x7f800000) words[i] = 0x7fc00000;
  return words;
}

/** The bits of array elements of any type. */
export function bits(array: TypedArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength).slice();
}

/** Index of the first element that differs, -1 when the arrays are equal; far cheaper than a deep comparison. */
export function firstDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Math.min(a.length, b.length);
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return i;
  return -1;
}
