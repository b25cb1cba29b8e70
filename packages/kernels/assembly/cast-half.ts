/** float16 and bfloat16 arrays to float32 and back, eight elements at a time. */
import { narrowFour, widenFour } from './half';

/** Bits stay as they are, NaN too. */
export function bfloat16ToFloat32(src: usize, dst: usize, count: i32): void {
  const zero = i16x8.splat(0);
  const bulk = count & ~7;
  for (let i = 0; i < bulk; i += 8) {
    const x = v128.load(src);
    v128.store(dst, i8x16.shuffle(zero, x, 0, 1, 16, 17, 0, 1, 18, 19, 0, 1, 20, 21, 0, 1, 22, 23));
    v128.store(dst, i8x16.shuffle(zero, x, 0, 1, 24, 25, 0, 1, 26, 27, 0, 1, 28, 29, 0, 1, 30, 31), 16);
    src += 16;
    dst += 32;
  }
  for (let i = bulk; i < count; i++, src += 2, dst += 4) store<u32>(dst, <u32>load<u16>(src) << 16);
}

export function float16ToFloat32(src: usize, dst: usize, count: i32): void {
  const bulk = count & ~7;
  for (let i = 0; i < bulk; i += 8) {
    const x = v128.load(src);
    v128.store(dst, widenFour(i32x4.extend_low_i16x8_s(x)));
    v128.store(dst, widenFour(i32x4.extend_high_i16x8_s(x)), 16);
    src += 16;
    dst += 32;
  }
  for (let i = bulk; i < count; i++, src += 2, dst += 4) {
    const x = i32x4.splat(<i32>load<i16>(src));
    store<i32>(dst, i32x4.extract_lane(widenFour(x), 0));
  }
}

/** Half to even; NaN becomes 0x7fc0. With `saturate` nothing becomes infinity. */
export function float32ToBfloat16(src: usize, dst: usize, count: i32, saturate: bool): void {
  const bulk = count & ~7;
  for (let i = 0; i < bulk; i += 8) {
    const x = i16x8.narrow_i32x4_u(toBfloat16(v128.load(src), saturate), toBfloat16(v128.load(src, 16), saturate));
    v128.store(dst, x);
    src += 32;
    dst += 16;
  }
  for (let i = bulk; i < count; i++, src += 4, dst += 2) {
    store<u16>(dst, i32x4.extract_lane(toBfloat16(i32x4.splat(load<i32>(src)), saturate), 0));
  }
}

/** Half to even; NaN becomes 0x7e00. With `saturate` nothing becomes infinity. */
export function float32ToFloat16(src: usize, dst: usize, count: i32, saturate: bool): void {
  const bulk = count & ~7;
  for (let i = 0; i < bulk; i += 8) {
    const x = i16x8.narrow_i32x4_u(narrowFour(v128.load(src), saturate), narrowFour(v128.load(src, 16), saturate));
    v128.store(dst, x);
    src += 32;
    dst += 16;
  }
  for (let i = bulk; i < count; i++, src += 4, dst += 2) {
    store<u16>(dst, i32x4.extract_lane(narrowFour(i32x4.splat(load<i32>(src)), saturate), 0));
  }
}

// @ts-ignore: decorator
@inline
function toBfloat16(x: v128, saturate: bool): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const odd = v128.and(i32x4.shr_u(magnitude, 16), i32x4.splat(1));
  let half = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, i32x4.splat(0x7fff)), odd), 16);
  if (saturate) half = i32x4.min_s(half, i32x4.splat(0x7f7f));
  half = v128.or(half, v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000)));
  return v128.bitselect(i32x4.splat(0x7fc0), half, i32x4.gt_s(magnitude, i32x4.splat(0x7f800000)));
}
