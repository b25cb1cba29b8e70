/** float16 and bfloat16 arrays to float32 and back, eight elements at a time. */
import { REBIAS } from './half';

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
    const x = i16x8.narrow_i32x4_u(toFloat16(v128.load(src), saturate), toFloat16(v128.load(src, 16), saturate));
    v128.store(dst, x);
    src += 32;
    dst += 16;
  }
  for (let i = bulk; i < count; i++, src += 4, dst += 2) {
    store<u16>(dst, i32x4.extract_lane(toFloat16(i32x4.splat(load<i32>(src)), saturate), 0));
  }
}

/** Four sign-extended float16 as float32. */
// @ts-ignore: decorator
@inline
function widenFour(x: v128): v128 {
  const value = f32x4.mul(v128.and(i32x4.shl(x, 13), i32x4.splat(0x8fffe000)), f32x4.splat(REBIAS));
  const special = i32x4.eq(v128.and(x, i32x4.splat(0x7c00)), i32x4.splat(0x7c00));
  return v128.or(value, v128.and(special, i32x4.splat(0x7f800000)));
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

// @ts-ignore: decorator
@inline
function toFloat16(x: v128, saturate: bool): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const normal = i32x4.sub(i32x4.shr_u(i32x4.add(i32x4.add(magnitude, i32x4.splat(0xfff)), odd), 13), i32x4.splat(0x1c000));
  // Subnormal: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits.
  const subnormal = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  let half = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, i32x4.splat(0x38800000)));
  half = i32x4.min_s(half, i32x4.splat(saturate ? 0x7bff : 0x7c00));
  half = v128.or(half, v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000)));
  return v128.bitselect(i32x4.splat(0x7e00), half, i32x4.gt_s(magnitude, i32x4.splat(0x7f800000)));
}
