/** Formats whose 4-bit codes stand for one of 16 values: IQ4_NL, IQ4_XS, and the 4-bit floats MXFP4 and NVFP4. */
import { floatOf } from '../half.js';
import { half } from './simple.js';
import type { Unpack } from './unpack.js';

/** The points of IQ4, denser around 0. */
const iq4 = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** E2M1 floats, doubled. */
const e2m1 = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

export const iq4_nl: Unpack = (src, at, { codes, scales }) => {
  scales[0] = half(src, at);
  lookUp(src, at + 2, 16, iq4, codes, 0);
};

export const iq4_xs: Unpack = (src, at, { codes, scales }) => {
  const d = half(src, at);
  const high = src[at + 2]! | (src[at + 3]! << 8);
  for (let j = 0; j < 8; j++) {
    const low = (src[at + 4 + (j >> 1)]! >> ((j & 1) << 2)) & 15;
    scales[j] = d * ((low | (((high >> (2 * j)) & 3) << 4)) - 32);
    lookUp(src, at + 8 + j * 16, 16, iq4, codes, j * 32);
  }
};

/** OCP microscaling: an exponent per 32, halved because the table is doubled. */
export const mxfp4: Unpack = (src, at, { codes, scales }) => {
  const exponent = src[at]!;
  scales[0] = floatOf(exponent < 2 ? 0x00200000 << exponent : (exponent - 1) << 23);
  lookUp(src, at + 1, 16, e2m1, codes, 0);
};

/** An unsigned E4M3 scale per 16, halved too; the pattern of its NaN counts as 0. */
export const nvfp4: Unpack = (src, at, { codes, scales }) => {
  for (let j = 0; j < 4; j++) {
    const byte = src[at + j]!;
    const exponent = (byte >> 3) & 15;
    const mantissa = byte & 7;
    const scale = exponent === 0 ? mantissa * 2 ** -9 : (1 + mantissa / 8) * 2 ** (exponent - 7);
    scales[j] = byte === 0x7f ? 0 : scale * 0.5;
    lookUp(src, at + 4 + j * 8, 8, e2m1, codes, j * 16);
  }
};

/** Low nibbles of `bytes` bytes, then high ones. */
function lookUp(src: Uint8Array, at: number, bytes: number, table: Int8Array, codes: Int8Array, to: number): void {
  for (let i = 0; i < bytes; i++) {
    const byte = src[at + i]!;
    codes[to + i] = table[byte & 15]!;
    codes[to + bytes + i] = table[byte >> 4]!;
  }
}
