/** Float32 to GGUF blocks of 32, Q8_0 and Q4_0, as gguf-py rounds them, with what that loses. */
import { narrowScale, widenOne } from './half';
import { EncodeResult } from './jobs';

/** 1.5 · 2^23: its sum with a small integer holds that integer in the low bits, in two's complement. */
// @ts-ignore: decorator
@inline const MAGIC: f32 = 12582912;
/** Squares of weights in blocks whose largest one lies between these fit float32. */
// @ts-ignore: decorator
@inline const ORDINARY_LOW: f32 = 1e-12;
// @ts-ignore: decorator
@inline const ORDINARY_HIGH: f32 = 1e12;
/** Blocks whose sums stay in float32. */
// @ts-ignore: decorator
@inline const FLUSH: i32 = 32;

export function encodeQ8_0(src: usize, blocks: i32, dst: usize, result: usize): void {
  encode<i8>(src, blocks, dst, changetype<EncodeResult>(result));
}

export function encodeQ4_0(src: usize, blocks: i32, dst: usize, result: usize): void {
  encode<u8>(src, blocks, dst, changetype<EncodeResult>(result));
}

/** C is i8 for Q8_0 and u8 for Q4_0. */
function encode<C>(src: usize, blocks: i32, dst: usize, result: EncodeResult): void {
  for (let begin = 0; begin < blocks; begin += FLUSH) {
    const count = min(FLUSH, blocks - begin);
    let squares = f32x4.splat(0);
    let errors = f32x4.splat(0);
    let worst = f32x4.splat(0);
    for (let i = 0; i < count; i++, src += 128, dst += isSigned<C>() ? 34 : 18) {
      let high = f32x4.splat(0);
      let low = f32x4.splat(0);
      let square = f32x4.splat(0);
      for (let k: usize = 0; k < 128; k += 32) {
        const x0 = v128.load(src + k);
        const x1 = v128.load(src + k, 16);
        high = f32x4.pmax(high, f32x4.pmax(x0, x1));
        low = f32x4.pmin(low, f32x4.pmin(x0, x1));
        square = f32x4.add(square, f32x4.add(f32x4.mul(x0, x0), f32x4.mul(x1, x1)));
      }
      const above = largestLane(high);
      const below = largestLane(f32x4.neg(low));
      const peak = above < below ? below : above;
      // A value that is not finite makes the sum of squares infinite, or NaN.
      const ordinary = i32x4.all_true(f32x4.lt(square, f32x4.splat(Infinity))) && peak < ORDINARY_HIGH && peak > ORDINARY_LOW;
      if (!ordinary) {
        uncommon<C>(src, dst, result);
        continue;
      }
      const scale = isSigned<C>() ? peak / 127 : (above > below ? above : above < below ? -below : signedPeak(src, peak)) / -8;
      const reciprocal = f32x4.splat(1 / scale);
      store<u16>(dst, <u16>narrowScale(scale));
      const stored = f32x4.splat(widenOne<i16>(dst));
      squares = f32x4.add(squares, square);
      if (isSigned<C>()) {
        for (let k: usize = 0; k < 128; k += 64) {
          const x0 = v128.load(src + k);
          const x1 = v128.load(src + k, 16);
          const x2 = v128.load(src + k, 32);
          const x3 = v128.load(src + k, 48);
          const c0 = awayFromZero(x0, reciprocal);
          const c1 = awayFromZero(x1, reciprocal);
          const c2 = awayFromZero(x2, reciprocal);
          const c3 = awayFromZero(x3, reciprocal);
          const a = i16x8.narrow_i32x4_s(whole(c0), whole(c1));
          const b = i16x8.narrow_i32x4_s(whole(c2), whole(c3));
          v128.store(dst + 2 + (k >> 2), i8x16.narrow_i16x8_s(a, b));
          const d0 = f32x4.sub(x0, f32x4.mul(stored, c0));
          const d1 = f32x4.sub(x1, f32x4.mul(stored, c1));
          const d2 = f32x4.sub(x2, f32x4.mul(stored, c2));
          const d3 = f32x4.sub(x3, f32x4.mul(stored, c3));
          errors = f32x4.add(errors, f32x4.add(f32x4.add(f32x4.mul(d0, d0), f32x4.mul(d1, d1)), f32x4.add(f32x4.mul(d2, d2), f32x4.mul(d3, d3))));
          worst = f32x4.pmax(worst, f32x4.pmax(f32x4.pmax(f32x4.abs(d0), f32x4.abs(d1)), f32x4.pmax(f32x4.abs(d2), f32x4.abs(d3))));
        }
      } else {
        // A byte holds a weight and the one 16 further.
        for (let k: usize = 0; k < 64; k += 32) {
          const x0 = v128.load(src + k);
          const x1 = v128.load(src + k, 16);
          const x2 = v128.load(src + k, 64);
          const x3 = v128.load(src + k, 80);
          const c0 = fromEight(x0, reciprocal);
          const c1 = fromEight(x1, reciprocal);
          const c2 = fromEight(x2, reciprocal);
          const c3 = fromEight(x3, reciprocal);
          const pairs = i16x8.narrow_i32x4_s(pair(c0, c2), pair(c1, c3));
          v128.store64_lane(dst + 2 + (k >> 2), i8x16.narrow_i16x8_u(pairs, pairs), 0);
          const d0 = f32x4.sub(x0, f32x4.mul(stored, c0));
          const d1 = f32x4.sub(x1, f32x4.mul(stored, c1));
          const d2 = f32x4.sub(x2, f32x4.mul(stored, c2));
          const d3 = f32x4.sub(x3, f32x4.mul(stored, c3));
          errors = f32x4.add(errors, f32x4.add(f32x4.add(f32x4.mul(d0, d0), f32x4.mul(d1, d1)), f32x4.add(f32x4.mul(d2, d2), f32x4.mul(d3, d3))));
          worst = f32x4.pmax(worst, f32x4.pmax(f32x4.pmax(f32x4.abs(d0), f32x4.abs(d1)), f32x4.pmax(f32x4.abs(d2), f32x4.abs(d3))));
        }
      }
    }
    result.sumSquares += sum(squares);
    result.sumSquaredError += sum(errors);
    result.maxError = max(result.maxError, <f64>largestLane(worst));
  }
}

/** Codes of x·reciprocal, at most 128 in size, half away from zero: what is added is the largest float below a half, so that sums below the next whole number stay there. */
// @ts-ignore: decorator
@inline
function awayFromZero(x: v128, reciprocal: v128): v128 {
  const y = f32x4.mul(x, reciprocal);
  return f32x4.trunc(f32x4.add(y, v128.or(v128.and(y, i32x4.splat(0x80000000)), i32x4.splat(0x3effffff))));
}

/** Codes -8 to 7, rounded from below as Q4_0 is. */
// @ts-ignore: decorator
@inline
function fromEight(x: v128, reciprocal: v128): v128 {
  const shifted = f32x4.add(f32x4.mul(x, reciprocal), f32x4.splat(8.5));
  return f32x4.sub(f32x4.pmin(f32x4.trunc(shifted), f32x4.splat(15)), f32x4.splat(8));
}

/** Whole floats below 2^22 as integers. */
// @ts-ignore: decorator
@inline
function whole(codes: v128): v128 {
  return i32x4.sub(f32x4.add(codes, f32x4.splat(MAGIC)), f32x4.splat(MAGIC));
}

/** Bytes of codes -8 to 7, in 32-bit lanes. */
// @ts-ignore: decorator
@inline
function pair(low: v128, high: v128): v128 {
  return i32x4.sub(f32x4.add(f32x4.add(low, f32x4.splat(MAGIC + 136)), f32x4.mul(high, f32x4.splat(16))), f32x4.splat(MAGIC));
}

/** None is NaN. */
// @ts-ignore: decorator
@inline
function largestLane(x: v128): f32 {
  const two = f32x4.pmax(x, i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return f32x4.extract_lane(f32x4.pmax(two, i8x16.shuffle(two, two, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)), 0);
}

/** A block with values that are not finite, or with no ordinary largest one: codes from the finite values, losses in float64. */
function uncommon<C>(src: usize, dst: usize, result: EncodeResult): void {
  let largest = f32x4.splat(0);
  for (let k: usize = 0; k < 128; k += 16) {
    const x = f32x4.abs(v128.load(src + k));
    largest = f32x4.max(largest, v128.and(x, f32x4.lt(x, f32x4.splat(Infinity))));
  }
  const peak = largestLane(largest);
  const scale = isSigned<C>() ? peak / 127 : signedPeak(src, peak) / -8;
  const reciprocal = f32x4.splat(scale == 0 ? 0 : 1 / scale);
  store<u16>(dst, <u16>narrowScale(scale));
  for (let k: usize = 0; k < 64; k += 16) {
    // Q8_0 stores neighbours, Q4_0 a weight and the one 16 further in a byte.
    const from = src + (isSigned<C>() ? k * 2 : k);
    const a = bytes<C>(round<C>(v128.load(from), reciprocal));
    const b = bytes<C>(round<C>(v128.load(from + (isSigned<C>() ? 16 : 64)), reciprocal));
    if (isSigned<C>()) {
      const words = i16x8.narrow_i32x4_u(a, b);
      v128.store64_lane(dst + 2 + (k >> 1), i8x16.narrow_i16x8_u(words, words), 0);
    } else {
      const words = i16x8.narrow_i32x4_u(v128.or(a, i32x4.shl(b, 4)), a);
      v128.store32_lane(dst + 2 + (k >> 2), i8x16.narrow_i16x8_u(words, words), 0);
    }
  }
  lossOf<C>(src, dst, result);
}

/** The first weight of that magnitude. */
// @ts-ignore: decorator
@inline
function signedPeak(src: usize, peak: f32): f32 {
  if (peak == 0) return 0;
  while (abs(load<f32>(src)) != peak) src += 4;
  return load<f32>(src);
}

/** Signed codes of four weights, as floats; 0 for what is not finite. */
// @ts-ignore: decorator
@inline
function round<C>(x: v128, reciprocal: v128): v128 {
  const y = f32x4.mul(x, reciprocal);
  if (isSigned<C>()) {
    // Half away from zero: what lies beyond the whole part is exact.
    const size = f32x4.abs(y);
    const whole = f32x4.trunc(size);
    const up = v128.and(f32x4.ge(f32x4.sub(size, whole), f32x4.splat(0.5)), f32x4.splat(1));
    const code = v128.and(f32x4.add(whole, up), f32x4.lt(size, f32x4.splat(Infinity)));
    return v128.or(code, v128.and(y, i32x4.splat(0x80000000)));
  }
  const shifted = f32x4.add(y, f32x4.splat(8.5));
  const code = f32x4.sub(f32x4.pmin(f32x4.trunc(shifted), f32x4.splat(15)), f32x4.splat(8));
  const infinity = f32x4.splat(Infinity);
  // Where only the product overflows, the code stored is 0, as in the plain twin.
  const overflown = v128.and(f32x4.lt(f32x4.abs(x), infinity), f32x4.splat(-8));
  return v128.bitselect(code, overflown, f32x4.lt(f32x4.abs(shifted), infinity));
}

/** Codes as they are stored, in the low bits of 32-bit lanes. */
// @ts-ignore: decorator
@inline
function bytes<C>(codes: v128): v128 {
  if (isSigned<C>()) return v128.and(f32x4.add(codes, f32x4.splat(MAGIC)), i32x4.splat(0xff));
  return v128.and(f32x4.add(codes, f32x4.splat(MAGIC + 8)), i32x4.splat(0xf));
}

/** Of a block with uncommon values, in float64. */
function lossOf<C>(src: usize, block: usize, result: EncodeResult): void {
  const scale = widenOne<i16>(block);
  for (let i = 0; i < 32; i++) {
    const value = load<f32>(src + (<usize>i << 2));
    if (!(abs(value) < Infinity)) {
      result.nonFinite += 1;
      continue;
    }
    const code = isSigned<C>() ? <i32>load<i8>(block + 2 + i) : ((<i32>load<u8>(block + 2 + (i & 15)) >> ((i >> 4) << 2)) & 15) - 8;
    const error = abs(<f64>value - <f64>(scale * <f32>code));
    result.sumSquares += <f64>value * <f64>value;
    result.sumSquaredError += error * error;
    result.maxError = max(result.maxError, error);
  }
}

// @ts-ignore: decorator
@inline
function sum(x: v128): f64 {
  const low = <f64>f32x4.extract_lane(x, 0) + <f64>f32x4.extract_lane(x, 1);
  return low + (<f64>f32x4.extract_lane(x, 2) + <f64>f32x4.extract_lane(x, 3));
}
