/** Formats whose codes are points of a grid of 4 or 8 dimensions, with signs beside them: IQ1, IQ2 and IQ3. */
import { float16ToBits, floatOf } from '../half.js';
import { grid } from './grid-tables.js';
import { half } from './simple.js';
import type { Unpack } from './unpack.js';

/** Seven signs, and an eighth that makes their number even. */
const evenSigns = Uint8Array.from({ length: 128 }, (_, bits) => {
  let parity = bits ^ (bits >> 4);
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return bits | ((parity & 1) << 7);
});

function u16(src: Uint8Array, at: number): number {
  return src[at]! | (src[at + 1]! << 8);
}

function u32(src: Uint8Array, at: number): number {
  return (u16(src, at) | (u16(src, at + 2) << 16)) >>> 0;
}

/** `count` values of grid point `index`, negative where a bit of `signs` is set. */
function signed(table: Int8Array, index: number, count: number, signs: number, codes: Int8Array, to: number): void {
  for (let i = 0; i < count; i++) {
    const value = table[index * count + i]!;
    codes[to + i] = (signs >> i) & 1 ? -value : value;
  }
}

export const iq2_xxs: Unpack = (src, at, { codes, scales }) => {
  const d = half(src, at);
  const table = grid('IQ2_XXS');
  for (let j = 0; j < 8; j++) {
    const from = at + 2 + j * 8;
    const bits = u32(src, from + 4);
    scales[j] = d * (0.5 + (bits >>> 28)) * 0.25;
    for (let g = 0; g < 4; g++) signed(table, src[from + g]!, 8, evenSigns[(bits >>> (7 * g)) & 127]!, codes, j * 32 + g * 8);
  }
};

export const iq2_xs: Unpack = (src, at, { codes, scales }) => {
  const d = half(src, at);
  const table = grid('IQ2_XS');
  for (let j = 0; j < 16; j++) scales[j] = d * (0.5 + nibble(src, at + 66, j)) * 0.25;
  for (let g = 0; g < 32; g++) {
    const bits = u16(src, at + 2 + g * 2);
    signed(table, bits & 511, 8, evenSigns[bits >> 9]!, codes, g * 8);
  }
};

export const iq2_s: Unpack = (src, at, { codes, scales }) => {
  const d = half(src, at);
  const table = grid('IQ2_S');
  for (let j = 0; j < 16; j++) scales[j] = d * (0.5 + nibble(src, at + 74, j)) * 0.25;
  for (let g = 0; g < 32; g++) {
    const high = (src[at + 66 + (g >> 2)]! >> ((g & 3) << 1)) & 3;
    signed(table, src[at + 2 + g]! | (high << 8), 8, src[at + 34 + g]!, codes, g * 8);
  }
};

export const iq3_xxs: Unpack = (src, at, { codes, scales }) => {
  const d = half(src, at);
  const table = grid('IQ3_XXS');
  for (let j = 0; j < 8; j++) {
    const bits = u32(src, at + 66 + j * 4);
    scales[j] = d * (0.5 + (bits >>> 28)) * 0.5;
    for (let g = 0; g < 8; g++) {
      const signs = evenSigns[(bits >>> (7 * (g >> 1))) & 127]! >> ((g & 1) << 2);
      signed(table, src[at + 2 + j * 8 + g]!, 4, signs, codes, j * 32 + g * 4);
    }
  }
};

export const iq3_s: Unpack = (src, at, { codes, scales }) => {
  const d = half(src, at);
  const table = grid('IQ3_S');
  for (let j = 0; j < 8; j++) scales[j] = d * (1 + 2 * nibble(src, at + 106, j));
  for (let g = 0; g < 64; g++) {
    const high = (src[at + 66 + (g >> 3)]! >> (g & 7)) & 1;
    const signs = src[at + 74 + (g >> 1)]! >> ((g & 1) << 2);
    signed(table, src[at + 2 + g]! | (high << 8), 4, signs, codes, g * 4);
  }
};

/** Grid values of −1, 0, 1, all shifted by an eighth up or down: integers once they are multiplied by 8. */
function shifted(table: Int8Array, index: number, down: boolean, codes: Int8Array, to: number): void {
  for (let i = 0; i < 8; i++) codes[to + i] = table[index * 8 + i]! * 8 + (down ? -1 : 1);
}

export const iq1_s: Unpack = (src, at, { codes, scales }) => {
  const d = half(src, at);
  const table = grid('IQ1_S');
  for (let j = 0; j < 8; j++) {
    const high = u16(src, at + 34 + j * 2);
    scales[j] = d * (2 * ((high >> 12) & 7) + 1) * 0.125;
    for (let g = 0; g < 4; g++) {
      const index = src[at + 2 + j * 4 + g]! | (((high >> (3 * g)) & 7) << 8);
      shifted(table, index, high >= 0x8000, codes, j * 32 + g * 8);
    }
  }
};

/** The float16 scale lies in the top nibbles of the four words of small scales. */
export const iq1_m: Unpack = (src, at, { codes, scales }) => {
  const words = [u16(src, at + 48), u16(src, at + 50), u16(src, at + 52), u16(src, at + 54)] as const;
  const d = floatOf(float16ToBits((words[0] >> 12) | ((words[1] >> 8) & 0xf0) | ((words[2] >> 4) & 0xf00) | (words[3] & 0xf000)));
  const table = grid('IQ1_S');
  for (let j = 0; j < 16; j++) scales[j] = d * (2 * ((words[j >> 2]! >> (3 * (j & 3))) & 7) + 1) * 0.125;
  for (let g = 0; g < 32; g++) {
    const high = nibble(src, at + 32, g);
    shifted(table, src[at + g]! | ((high & 7) << 8), (high & 8) !== 0, codes, g * 8);
  }
};

/** Nibble `index` from `at` on, low ones first. */
function nibble(src: Uint8Array, at: number, index: number): number {
  return (src[at + (index >> 1)]! >> ((index & 1) << 2)) & 15;
}
