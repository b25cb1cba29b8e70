/** float16, bfloat16 and float32 in terms of each other: the vector forms that the kernels share. */

/** 2^112: what the exponent bias of float32 adds to that of float16. */
// @ts-ignore: decorator
@inline export const REBIAS: f32 = 5192296858534827628530496329220096.0;

/**
 * Sources are named by a type: f32 is float32, u16 is bfloat16, i16 is float16.
 * The elements 0, 2, 4, 6 of eight source elements in `x` (two-byte types), as float32.
 */
// @ts-ignore: decorator
@inline
export function widenEven<T>(x: v128): v128 {
  if (isSigned<T>()) {
    // Sign to bit 31, exponent and mantissa to their places; the product makes the bias right, subnormals too.
    return f32x4.mul(v128.and(i32x4.shr_s(i32x4.shl(x, 16), 3), i32x4.splat(0x8fffe000)), f32x4.splat(REBIAS));
  }
  return i32x4.shl(x, 16);
}

/** The elements 1, 3, 5, 7. */
// @ts-ignore: decorator
@inline
export function widenOdd<T>(x: v128): v128 {
  if (isSigned<T>()) {
    return f32x4.mul(v128.and(i32x4.shr_s(x, 3), i32x4.splat(0x8fffe000)), f32x4.splat(REBIAS));
  }
  return v128.and(x, i32x4.splat(0xffff0000));
}

/** One finite source element as float32. */
// @ts-ignore: decorator
@inline
export function widenOne<T>(at: usize): f32 {
  if (isFloat<T>()) return load<f32>(at);
  const bits = <u32>load<u16>(at);
  if (isSigned<T>()) {
    const magnitude = bits & 0x7fff;
    const sign = (bits & 0x8000) << 16;
    if (magnitude >= 0x7c00) return reinterpret<f32>(sign | 0x7f800000 | ((magnitude & 0x3ff) << 13));
    return reinterpret<f32>(sign | reinterpret<u32>(reinterpret<f32>(magnitude << 13) * REBIAS));
  }
  return reinterpret<f32>(bits << 16);
}

/** float16 bits of a float32 that is not NaN: half to even, largest finite value for what is beyond it. */
export function narrowScale(value: f32): u32 {
  const bits = reinterpret<u32>(value);
  const sign = (bits >> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude < 0x38800000) {
    // Subnormal: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits.
    return sign | (reinterpret<u32>(reinterpret<f32>(magnitude) + 0.5) - 0x3f000000);
  }
  const rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  if (rounded >= 0x47800000) return sign | 0x7bff;
  return sign | ((rounded >> 13) - 0x1c000);
}

/** Four sign-extended float16 as float32. */
// @ts-ignore: decorator
@inline
export function widenFour(x: v128): v128 {
  const value = f32x4.mul(v128.and(i32x4.shl(x, 13), i32x4.splat(0x8fffe000)), f32x4.splat(REBIAS));
  const special = i32x4.eq(v128.and(x, i32x4.splat(0x7c00)), i32x4.splat(0x7c00));
  return v128.or(value, v128.and(special, i32x4.splat(0x7f800000)));
}

/** Four float32 as float16 in 32-bit lanes: half to even; NaN becomes 0x7e00; with `saturate` nothing becomes infinity. */
// @ts-ignore: decorator
@inline
export function narrowFour(x: v128, saturate: bool): v128 {
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
