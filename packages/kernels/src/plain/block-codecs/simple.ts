/** Formats with one scale per block: Q4_0 to Q8_0, Q8_K, and the one- and two-bit ones. Layouts are those of ggml-common.h. */
import { float16ToBits, floatOf } from '../half.js';
import type { Unpack } from './unpack.js';

/** A float16. */
export function half(src: Uint8Array, at: number): number {
  return floatOf(float16ToBits(src[at]! | (src[at + 1]! << 8)));
}

export const q4_0: Unpack = (src, at, { codes, scales }) => {
  scales[0] = half(src, at);
  nibbles(src, at + 2, codes, -8);
};

export const q4_1: Unpack = (src, at, { codes, scales, mins }) => {
  scales[0] = half(src, at);
  mins[0] = -half(src, at + 2);
  nibbles(src, at + 4, codes, 0);
};

export const q5_0: Unpack = (src, at, { codes, scales }) => {
  scales[0] = half(src, at);
  nibbles(src, at + 6, codes, -16);
  fifthBits(src, at + 2, codes);
};

export const q5_1: Unpack = (src, at, { codes, scales, mins }) => {
  scales[0] = half(src, at);
  mins[0] = -half(src, at + 2);
  nibbles(src, at + 8, codes, 0);
  fifthBits(src, at + 4, codes);
};

export const q8_0: Unpack = (src, at, { codes, scales }) => {
  scales[0] = half(src, at);
  for (let i = 0; i < 32; i++) codes[i] = src[at + 2 + i]!;
};

/** A float32 scale; sums of 16 codes at its end are of no use here. */
export const q8_k: Unpack = (src, at, { codes, scales }) => {
  scales[0] = floatOf(src[at]! | (src[at + 1]! << 8) | (src[at + 2]! << 16) | (src[at + 3]! << 24));
  for (let i = 0; i < 256; i++) codes[i] = src[at + 4 + i]!;
};

/** A sign per weight. */
export const q1_0: Unpack = (src, at, { codes, scales }) => {
  scales[0] = half(src, at);
  for (let i = 0; i < 128; i++) codes[i] = (src[at + 2 + (i >> 3)]! >> (i & 7)) & 1 ? 1 : -1;
};

/** Five ternary digits in a byte, as a fraction of 256: multiplied by 3^p mod 256, the next digit is what 3 times it carries out. */
export const tq1_0: Unpack = (src, at, { codes, scales }) => {
  scales[0] = half(src, at + 52);
  let to = 0;
  for (const [from, bytes, digits] of [[0, 32, 5], [32, 16, 5], [48, 4, 4]] as const) {
    for (let p = 0, power = 1; p < digits; p++, power *= 3) {
      for (let i = 0; i < bytes; i++) codes[to++] = ((((src[at + from + i]! * power) & 255) * 3) >> 8) - 1;
    }
  }
};

export const tq2_0: Unpack = (src, at, { codes, scales }) => {
  scales[0] = half(src, at + 64);
  twoBits(src, at, codes, -1);
};

/** 256 codes of 2 bits: of 32 bytes the lowest bits first, then the next ones. */
export function twoBits(src: Uint8Array, at: number, codes: Int8Array, offset: number): void {
  for (let i = 0; i < 256; i++) codes[i] = ((src[at + ((i >> 7) << 5) + (i & 31)]! >> (((i >> 5) & 3) << 1)) & 3) + offset;
}

/** 16 low nibbles, then 16 high ones. */
function nibbles(src: Uint8Array, at: number, codes: Int8Array, offset: number): void {
  for (let i = 0; i < 16; i++) {
    const byte = src[at + i]!;
    codes[i] = (byte & 15) + offset;
    codes[i + 16] = (byte >> 4) + offset;
  }
}

function fifthBits(src: Uint8Array, at: number, codes: Int8Array): void {
  for (let i = 0; i < 32; i++) codes[i]! += ((src[at + (i >> 3)]! >> (i & 7)) & 1) << 4;
}
