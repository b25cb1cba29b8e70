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
      let largest = f32x4.splat(0);
      let finite = i32x4.splat(-1);
      for (let k: usize = 0; k < 128; k += 16) {
        const x = f32x4.abs(v128.load(src + k));
        const ok = f32x4.lt(x, f32x4.splat(Infinity));
        finite = v128.and(finite, ok);
        largest = f32x4.max(largest, v128.and(x, ok));
      }
      const peak = max(max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)), max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)));
      const scale = isSigned<C>() ? peak / 127 : signedPeak(src, peak) / -8;
      const reciprocal = f32x4.splat(scale == 0 ? 0 : 1 / scale);
      const half = narrowScale(scale);
      store<u16>(dst, <u16>half);
      const stored = f32x4.splat(widenOne<i16>(dst));
      const ordinary = i32x4.all_true(finite) && peak < ORDINARY_HIGH && peak > ORDINARY_LOW;
      for (let k: usize = 0; k < 64; k += 32) {
        // Q8_0 stores 16 neighbours; Q4_0 a weight and the one 16 further in a byte, so that of each half 8 go together.
        const from = src + (isSigned<C>() ? k * 2 : k);
        const step: usize = isSigned<C>() ? 32 : 64;
        const x0 = v128.load(from);
        const x1 = v128.load(from, 16);
        const x2 = v128.load(from + step);
        const x3 = v128.load(from + step, 16);
        const c0 = round<C>(x0, reciprocal);
        const c1 = round<C>(x1, reciprocal);
        const c2 = round<C>(x2, reciprocal);
        const c3 = round<C>(x3, reciprocal);
        const a = i16x8.narrow_i32x4_u(bytes<C>(c0), bytes<C>(c1));
        const b = i16x8.narrow_i32x4_u(bytes<C>(c2), bytes<C>(c3));
        if (isSigned<C>()) v128.store(dst + 2 + (k >> 1), i8x16.narrow_i16x8_u(a, b));
        else {
          const pairs = v128.or(a, i16x8.shl(b, 4));
          v128.store64_lane(dst + 2 + (k >> 2), i8x16.narrow_i16x8_u(pairs, pairs), 0);
        }
        if (ordinary) {
          const d0 = f32x4.sub(x0, f32x4.mul(stored, c0));
          const d1 = f32x4.sub(x1, f32x4.mul(stored, c1));
          const d2 = f32x4.sub(x2, f32x4.mul(stored, c2));
          const d3 = f32x4.sub(x3, f32x4.mul(stored, c3));
          squares = f32x4.add(squares, f32x4.add(f32x4.add(f32x4.mul(x0, x0), f32x4.mul(x1, x1)), f32x4.add(f32x4.mul(x2, x2), f32x4.mul(x3, x3))));
          errors = f32x4.add(errors, f32x4.add(f32x4.add(f32x4.mul(d0, d0), f32x4.mul(d1, d1)), f32x4.add(f32x4.mul(d2, d2), f32x4.mul(d3, d3))));
          worst = f32x4.pmax(worst, f32x4.pmax(f32x4.pmax(f32x4.abs(d0), f32x4.abs(d1)), f32x4.pmax(f32x4.abs(d2), f32x4.abs(d3))));
        }
      }
      if (!ordinary) lossOf<C>(src, dst, result);
    }
    result.sumSquares += sum(squares);
    result.sumSquaredError += sum(errors);
    for (let lane = 0; lane < 4; lane++) {
      result.maxError = max(result.maxError, <f64>f32x4.extract_lane(worst, 0));
      worst = i8x16.shuffle(worst, worst, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
    }
  }
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
