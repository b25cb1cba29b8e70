/** GGUF blocks whose 4-bit codes stand for one of 16 values: IQ4_NL, IQ4_XS and the 4-bit floats of MXFP4. */
import { nibblesOf } from './unpack-bits';
import { widenOne } from './half';

/** The points of IQ4, denser around 0. */
// @ts-ignore: decorator
@inline
function iq4(codes: v128): v128 {
  return i8x16.swizzle(i8x16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113), codes);
}

export function unpackIQ4_NL(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  for (let i = 0; i < blocks; i++, src += 18, codes += 32, scales += 4) {
    store<f32>(scales, widenOne<i16>(src));
    const x = v128.load(src, 2);
    v128.store(codes, iq4(nibblesOf(x, 0)));
    v128.store(codes, iq4(nibblesOf(x, 4)), 16);
  }
}

export function unpackIQ4_XS(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  for (let i = 0; i < blocks; i++, src += 136, codes += 256, scales += 32) {
    const d = widenOne<i16>(src);
    const high = <i32>load<u16>(src, 2);
    for (let j = 0; j < 8; j++) {
      const low = (<i32>load<u8>(src + 4 + (j >> 1)) >> ((j & 1) << 2)) & 15;
      store<f32>(scales + (j << 2), d * <f32>((low | (((high >> (j << 1)) & 3) << 4)) - 32));
      const x = v128.load(src + (j << 4), 8);
      v128.store(codes + (j << 5), iq4(nibblesOf(x, 0)));
      v128.store(codes + (j << 5), iq4(nibblesOf(x, 4)), 16);
    }
  }
}

/** OCP microscaling: an exponent per 32, halved because the table of E2M1 floats is doubled. */
export function unpackMXFP4(src: usize, blocks: i32, codes: usize, scales: usize, mins: usize): void {
  const e2m1 = i8x16(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
  for (let i = 0; i < blocks; i++, src += 17, codes += 32, scales += 4) {
    const exponent = <u32>load<u8>(src);
    store<u32>(scales, exponent < 2 ? 0x00200000 << exponent : (exponent - 1) << 23);
    const x = v128.load(src, 1);
    v128.store(codes, i8x16.swizzle(e2m1, nibblesOf(x, 0)));
    v128.store(codes, i8x16.swizzle(e2m1, nibblesOf(x, 4)), 16);
  }
}
