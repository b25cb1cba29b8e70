/** What becomes of unpacked blocks (signed codes, a byte each, scales and minimums per sub-block): floats, or the parts of MatMulNBits. */

/** scale · code, rounded, then less the minimum, rounded; `mins` is 0 where there are none. `subSize` is a multiple of 16. */
export function scaleCodes(codes: usize, scales: usize, mins: usize, subs: i32, subSize: i32, dst: usize): void {
  for (let sub = 0; sub < subs; sub++, scales += 4) {
    const scale = v128.load32_splat(scales);
    const min = mins != 0 ? v128.load32_splat(mins + (<usize>sub << 2)) : f32x4.splat(0);
    for (const end = codes + subSize; codes < end; codes += 16, dst += 64) {
      const x = v128.load(codes);
      const low = i16x8.extend_low_i8x16_s(x);
      const high = i16x8.extend_high_i8x16_s(x);
      let a = f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)));
      let b = f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)));
      let c = f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)));
      let d = f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)));
      // Not a subtraction of 0 where there is no minimum: of a NaN or a -0 nothing may change.
      if (mins != 0) {
        a = f32x4.sub(a, min);
        b = f32x4.sub(b, min);
        c = f32x4.sub(c, min);
        d = f32x4.sub(d, min);
      }
      v128.store(dst, a);
      v128.store(dst, b, 16);
      v128.store(dst, c, 32);
      v128.store(dst, d, 48);
    }
  }
}

/** Codes plus `offset`, a byte each. `count` is a multiple of 32, here and below. */
export function shiftCodes(codes: usize, count: i32, offset: i32, values: usize): void {
  const shift = i8x16.splat(<i8>offset);
  for (const end = codes + count; codes < end; codes += 16, values += 16) v128.store(values, i8x16.add(v128.load(codes), shift));
}

/** Codes plus `offset`, which then have 4 bits, two in a byte, the first in the low bits. */
export function pairCodes(codes: usize, count: i32, offset: i32, values: usize): void {
  const shift = i8x16.splat(<i8>offset);
  for (const end = codes + count; codes < end; codes += 32, values += 16) {
    v128.store(values, pairs(i8x16.add(v128.load(codes), shift), i8x16.add(v128.load(codes, 16), shift)));
  }
}

/** Codes plus `offset`, which then have 8 bits, as two planes of 4 bits each. */
export function splitCodes(codes: usize, count: i32, offset: i32, high: usize, low: usize): void {
  const shift = i8x16.splat(<i8>offset);
  const nibble = i8x16.splat(15);
  for (const end = codes + count; codes < end; codes += 32, high += 16, low += 16) {
    const a = i8x16.add(v128.load(codes), shift);
    const b = i8x16.add(v128.load(codes, 16), shift);
    v128.store(low, pairs(v128.and(a, nibble), v128.and(b, nibble)));
    v128.store(high, pairs(i8x16.shr_u(a, 4), i8x16.shr_u(b, 4)));
  }
}

/**
 * Scales of `subs` sub-blocks times `factor`; themselves to `lowScales` and scale · `shift` − minimum, in float64, to
 * `corrections`, where those positions are not 0.
 */
export function moveScales(scales: usize, mins: usize, subs: i32, factor: f32, shift: f64, outScales: usize, lowScales: usize, corrections: usize): void {
  const bytes = <usize>subs << 2;
  const bulk = bytes & ~15;
  const factors = f32x4.splat(factor);
  for (let i: usize = 0; i < bulk; i += 16) v128.store(outScales + i, f32x4.mul(v128.load(scales + i), factors));
  for (let i = bulk; i < bytes; i += 4) store<f32>(outScales + i, load<f32>(scales + i) * factor);
  if (lowScales != 0) memory.copy(lowScales, scales, bytes);
  if (corrections == 0) return;
  for (let i: usize = 0; i < bulk; i += 8) {
    const scale = f64x2.promote_low_f32x4(v128.load64_zero(scales + i));
    const min = f64x2.promote_low_f32x4(v128.load64_zero(mins + i));
    v128.store64_lane(corrections + i, f32x4.demote_f64x2_zero(f64x2.sub(f64x2.mul(scale, f64x2.splat(shift)), min)), 0);
  }
  for (let i = bulk; i < bytes; i += 4) store<f32>(corrections + i, <f32>(<f64>load<f32>(scales + i) * shift - <f64>load<f32>(mins + i)));
}

/** 32 bytes of 4 bits as 16. */
// @ts-ignore: decorator
@inline
function pairs(a: v128, b: v128): v128 {
  // 16-bit lanes: the second nibble moves down from bit 8 to bit 4.
  const low = v128.and(v128.or(a, i16x8.shr_u(a, 4)), i16x8.splat(0xff));
  const high = v128.and(v128.or(b, i16x8.shr_u(b, 4)), i16x8.splat(0xff));
  return i8x16.narrow_i16x8_u(low, high);
}
