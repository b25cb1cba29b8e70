/** K-quants: 256 weights, a float16 scale over small integer scales of 16 or 32 weights. Layouts are those of ggml-common.h. */
import { half, twoBits } from './simple.js';
import type { Unpack } from './unpack.js';

const { fround } = Math;

export const q2_k: Unpack = (src, at, { codes, scales, mins }) => {
  const [d, min] = [half(src, at + 80), half(src, at + 82)];
  for (let j = 0; j < 16; j++) {
    const byte = src[at + j]!;
    scales[j] = d * (byte & 15);
    mins[j] = min * (byte >> 4);
  }
  twoBits(src, at + 16, codes, 0);
};

export const q3_k: Unpack = (src, at, { codes, scales }) => {
  const d = half(src, at + 108);
  for (let j = 0; j < 16; j++) {
    const low = (src[at + 96 + (j & 7)]! >> ((j >> 3) << 2)) & 15;
    const high = (src[at + 104 + (j & 3)]! >> ((j >> 2) << 1)) & 3;
    scales[j] = d * ((low | (high << 4)) - 32);
  }
  twoBits(src, at + 32, codes, -4);
  // The bit that is set takes the offset away.
  for (let i = 0; i < 256; i++) codes[i]! += ((src[at + (i & 31)]! >> (i >> 5)) & 1) << 2;
};

export const q4_k: Unpack = (src, at, { codes, scales, mins }) => {
  sixBitScales(src, at, scales, mins);
  nibblesOf64(src, at + 16, codes);
};

export const q5_k: Unpack = (src, at, { codes, scales, mins }) => {
  sixBitScales(src, at, scales, mins);
  nibblesOf64(src, at + 48, codes);
  for (let i = 0; i < 256; i++) codes[i]! += ((src[at + 16 + (i & 31)]! >> (i >> 5)) & 1) << 4;
};

export const q6_k: Unpack = (src, at, { codes, scales }) => {
  const d = half(src, at + 208);
  for (let j = 0; j < 16; j++) scales[j] = d * ((src[at + 192 + j]! << 24) >> 24);
  for (let i = 0; i < 256; i++) {
    const low = (src[at + ((i >> 7) << 6) + (i & 63)]! >> (((i >> 6) & 1) << 2)) & 15;
    const high = (src[at + 128 + ((i >> 7) << 5) + (i & 31)]! >> (((i >> 5) & 3) << 1)) & 3;
    codes[i] = (low | (high << 4)) - 32;
  }
};

/** Eight scales and eight minimums of 6 bits in 12 bytes; the upper two bits of the last four stand above the first ones. */
function sixBitScales(src: Uint8Array, at: number, scales: Float32Array, mins: Float32Array): void {
  const [d, min] = [half(src, at), half(src, at + 2)];
  for (let j = 0; j < 4; j++) {
    const [a, b, c] = [src[at + 4 + j]!, src[at + 8 + j]!, src[at + 12 + j]!];
    scales[j] = fround(d * (a & 63));
    mins[j] = fround(min * (b & 63));
    scales[j + 4] = fround(d * ((c & 15) | ((a >> 6) << 4)));
    mins[j + 4] = fround(min * ((c >> 4) | ((b >> 6) << 4)));
  }
}

/** Of 32 bytes the low nibbles, then the high ones. */
function nibblesOf64(src: Uint8Array, at: number, codes: Int8Array): void {
  for (let c = 0; c < 4; c++) {
    for (let i = 0; i < 32; i++) {
      const byte = src[at + c * 32 + i]!;
      codes[c * 64 + i] = byte & 15;
      codes[c * 64 + 32 + i] = byte >> 4;
    }
  }
}
