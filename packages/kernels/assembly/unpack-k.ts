/** K-quants of GGUF: 256 weights, a float16 scale over small integer scales of 16 or 32 weights. Layouts are those of ggml-common.h. */
import { bitOf, nibblesOf, pairsOf } from './unpack-bits';
import { widenOne } from './half';

export function unpackQ2_K(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  for (let i = 0; i < blocks; i++, src += 84, codes += 256, scales += 64, mins += 64) {
    const d = widenOne<i16>(src + 80);
    const min = widenOne<i16>(src + 82);
    for (let j = 0; j < 16; j++) {
      const byte = <i32>load<u8>(src + j);
      store<f32>(scales + (j << 2), d * <f32>(byte & 15));
      store<f32>(mins + (j << 2), min * <f32>(byte >> 4));
    }
    for (let half = 0; half < 2; half++) {
      const a = v128.load(src + (half << 5), 16);
      const b = v128.load(src + (half << 5), 32);
      for (let q = 0; q < 4; q++) {
        const to = codes + (half << 7) + (q << 5);
        v128.store(to, pairsOf(a, q << 1));
        v128.store(to, pairsOf(b, q << 1), 16);
      }
    }
  }
}

export function unpackQ3_K(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  const offset = i8x16.splat(4);
  for (let i = 0; i < blocks; i++, src += 110, codes += 256, scales += 64) {
    const d = widenOne<i16>(src + 108);
    for (let j = 0; j < 16; j++) {
      const low = (<i32>load<u8>(src + 96 + (j & 7)) >> ((j >> 3) << 2)) & 15;
      const high = (<i32>load<u8>(src + 104 + (j & 3)) >> ((j >> 2) << 1)) & 3;
      store<f32>(scales + (j << 2), d * <f32>((low | (high << 4)) - 32));
    }
    const a = v128.load(src);
    const b = v128.load(src, 16);
    for (let j = 0; j < 8; j++) {
      const from = src + 32 + ((j >> 2) << 5);
      const shift = (j & 3) << 1;
      const to = codes + (j << 5);
      // The bit that is set takes the offset away.
      v128.store(to, i8x16.sub(v128.or(pairsOf(v128.load(from), shift), bitOf(a, j, 4)), offset));
      v128.store(to, i8x16.sub(v128.or(pairsOf(v128.load(from, 16), shift), bitOf(b, j, 4)), offset), 16);
    }
  }
}

export function unpackQ4_K(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  for (let i = 0; i < blocks; i++, src += 144, codes += 256, scales += 32, mins += 32) {
    sixBitScales(src, scales, mins);
    for (let c = 0; c < 4; c++) {
      const a = v128.load(src + (c << 5), 16);
      const b = v128.load(src + (c << 5), 32);
      const to = codes + (c << 6);
      v128.store(to, nibblesOf(a, 0));
      v128.store(to, nibblesOf(b, 0), 16);
      v128.store(to, nibblesOf(a, 4), 32);
      v128.store(to, nibblesOf(b, 4), 48);
    }
  }
}

export function unpackQ5_K(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  for (let i = 0; i < blocks; i++, src += 176, codes += 256, scales += 32, mins += 32) {
    sixBitScales(src, scales, mins);
    const fifthA = v128.load(src, 16);
    const fifthB = v128.load(src, 32);
    for (let c = 0; c < 4; c++) {
      const a = v128.load(src + (c << 5), 48);
      const b = v128.load(src + (c << 5), 64);
      const to = codes + (c << 6);
      v128.store(to, v128.or(nibblesOf(a, 0), bitOf(fifthA, c << 1, 16)));
      v128.store(to, v128.or(nibblesOf(b, 0), bitOf(fifthB, c << 1, 16)), 16);
      v128.store(to, v128.or(nibblesOf(a, 4), bitOf(fifthA, (c << 1) + 1, 16)), 32);
      v128.store(to, v128.or(nibblesOf(b, 4), bitOf(fifthB, (c << 1) + 1, 16)), 48);
    }
  }
}

export function unpackQ6_K(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  const offset = i8x16.splat(32);
  for (let i = 0; i < blocks; i++, src += 210, codes += 256, scales += 64) {
    const d = widenOne<i16>(src + 208);
    for (let j = 0; j < 16; j++) store<f32>(scales + (j << 2), d * <f32>load<i8>(src + 192 + j));
    for (let j = 0; j < 8; j++) {
      const half = j >> 2;
      const q = j & 3;
      const low = src + (half << 6) + ((q & 1) << 5);
      const high = src + 128 + (half << 5);
      const to = codes + (j << 5);
      for (let k = 0; k < 32; k += 16) {
        const upper = i8x16.shl(pairsOf(v128.load(high + k), q << 1), 4);
        v128.store(to + k, i8x16.sub(v128.or(nibblesOf(v128.load(low + k), (q >> 1) << 2), upper), offset));
      }
    }
  }
}

/** Eight scales and eight minimums of 6 bits in 12 bytes; the upper two bits of the last four stand above the first ones. */
function sixBitScales(src: usize, scales: usize, mins: usize): void {
  const d = f32x4.splat(widenOne<i16>(src));
  const min = f32x4.splat(widenOne<i16>(src + 2));
  const a = load<u32>(src, 4);
  const b = load<u32>(src, 8);
  const c = load<u32>(src, 12);
  const top = 0x30303030;
  v128.store(scales, f32x4.mul(d, floatsOf(a & 0x3f3f3f3f)));
  v128.store(mins, f32x4.mul(min, floatsOf(b & 0x3f3f3f3f)));
  v128.store(scales, f32x4.mul(d, floatsOf((c & 0x0f0f0f0f) | ((a >> 2) & top))), 16);
  v128.store(mins, f32x4.mul(min, floatsOf(((c >> 4) & 0x0f0f0f0f) | ((b >> 2) & top))), 16);
}

/** Four bytes as float32. */
// @ts-ignore: decorator
@inline
function floatsOf(bytes: u32): v128 {
  const words = i16x8.extend_low_i8x16_u(i32x4.splat(bytes));
  return f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(words));
}
