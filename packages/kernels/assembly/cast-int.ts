/** Bytes to float32 and back, sixteen elements at a time. Casts of T are i8 or u8. */

export function int8ToFloat32(src: usize, dst: usize, count: i32): void {
  widen<i8>(src, dst, count);
}

export function uint8ToFloat32(src: usize, dst: usize, count: i32): void {
  widen<u8>(src, dst, count);
}

/** Half to even, saturating; NaN becomes 0. */
export function float32ToInt8(src: usize, dst: usize, count: i32): void {
  narrow<i8>(src, dst, count);
}

/** Half to even, saturating; NaN becomes 0. */
export function float32ToUint8(src: usize, dst: usize, count: i32): void {
  narrow<u8>(src, dst, count);
}

function widen<T>(src: usize, dst: usize, count: i32): void {
  const bulk = count & ~15;
  for (let i = 0; i < bulk; i += 16, src += 16, dst += 64) {
    const x = v128.load(src);
    const low = isSigned<T>() ? i16x8.extend_low_i8x16_s(x) : i16x8.extend_low_i8x16_u(x);
    const high = isSigned<T>() ? i16x8.extend_high_i8x16_s(x) : i16x8.extend_high_i8x16_u(x);
    v128.store(dst, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)));
    v128.store(dst, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), 16);
    v128.store(dst, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), 32);
    v128.store(dst, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), 48);
  }
  for (let i = bulk; i < count; i++, src++, dst += 4) store<f32>(dst, <f32>load<T>(src));
}

function narrow<T>(src: usize, dst: usize, count: i32): void {
  const bulk = count & ~15;
  for (let i = 0; i < bulk; i += 16, src += 64, dst += 16) {
    const low = i16x8.narrow_i32x4_s(nearest(v128.load(src)), nearest(v128.load(src, 16)));
    const high = i16x8.narrow_i32x4_s(nearest(v128.load(src, 32)), nearest(v128.load(src, 48)));
    v128.store(dst, isSigned<T>() ? i8x16.narrow_i16x8_s(low, high) : i8x16.narrow_i16x8_u(low, high));
  }
  for (let i = bulk; i < count; i++, src += 4, dst++) {
    const x = i16x8.narrow_i32x4_s(nearest(v128.load32_zero(src)), i32x4.splat(0));
    v128.store8_lane(dst, isSigned<T>() ? i8x16.narrow_i16x8_s(x, x) : i8x16.narrow_i16x8_u(x, x), 0);
  }
}

// @ts-ignore: decorator
@inline
function nearest(x: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(x));
}
