/** Scales, reciprocals and zero points of a group of blocks, four blocks at a time and without branches on the data. */
import { narrowFour, REBIAS, widenFour } from './half';

/** The largest float32 below 0.5: for x ≥ 0, floor(x + this) rounds half away from zero, 0.49999997 included. */
// @ts-ignore: decorator
@inline export const BELOW_HALF: f32 = 0.49999997;
/** Blocks whose extreme lies outside are not ordinary: inside, no product or square of the fast path leaves float32. */
// @ts-ignore: decorator
@inline const SMALLEST: f32 = 1.0e-12;
// @ts-ignore: decorator
@inline const LARGEST: f32 = 1.0e18;

/** Blocks in a group, at most. */
// @ts-ignore: decorator
@inline export const GROUP: i32 = 256;

/** The scratch memory: positions of arrays with one float32 or int32 per block. */
// @ts-ignore: decorator
@inline export const RANGES: usize = 0; // pairs
// @ts-ignore: decorator
@inline export const SCALES: usize = 2048;
// @ts-ignore: decorator
@inline export const RECIPROCALS: usize = 3072;
// @ts-ignore: decorator
@inline export const OFFSETS: usize = 4096;
// @ts-ignore: decorator
@inline export const ZEROS: usize = 5120;
// @ts-ignore: decorator
@inline export const ORDINARY: usize = 6144;
/** One byte per block. */
// @ts-ignore: decorator
@inline export const ZERO_CODES: usize = 7168;
/** float16 scales. */
// @ts-ignore: decorator
@inline export const HALF_SCALES: usize = 7424;
/** One block of at most 256 weights, and a word. */
// @ts-ignore: decorator
@inline export const FLOATS: usize = 8192;
/** Codes of one block; also the size of what comes before. */
// @ts-ignore: decorator
@inline export const CODES: usize = 9232;

/**
 * Turns the ranges of `blocks` blocks into their grids. `fixed` is the zero point of symmetric grids.
 * Returns whether every block is ordinary; ORDINARY says which, as -1 or 0.
 */
export function makeGrids<T>(scratch: usize, blocks: i32, bits: i32, symmetric: bool, fixed: f32, linear: bool, halfScales: bool): bool {
  const half = <f32>(1 << (bits - 1));
  const top = f32x4.splat(<f32>((1 << bits) - 1));
  const zero = f32x4.splat(0);
  let ordinary = i32x4.splat(-1);
  for (let block = 0; block < blocks; block += 4) {
    const at = scratch + (<usize>block << 2);
    const a = v128.load(scratch + (<usize>block << 3), RANGES);
    const b = v128.load(scratch + (<usize>block << 3), RANGES + 16);
    const positive = magnitudes<T>(i8x16.shuffle(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27));
    const negative = magnitudes<T>(i8x16.shuffle(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31));

    // Comparisons with NaN are false, so NaN and infinity are not ordinary either.
    const smallest = f32x4.splat(SMALLEST);
    const limit = f32x4.splat(isSigned<T>() && isInteger<T>() ? 65520 : LARGEST);
    const large = v128.or(f32x4.gt(positive, smallest), f32x4.gt(negative, smallest));
    const usual = v128.and(large, v128.and(f32x4.lt(positive, limit), f32x4.lt(negative, limit)));
    v128.store(at, usual, ORDINARY);
    // Lanes beyond the last block are left over from another group.
    const exists = i32x4.gt_s(i32x4.splat(blocks - block), i32x4(0, 1, 2, 3));
    ordinary = v128.and(ordinary, v128.or(usual, v128.not(exists)));

    let scale: v128;
    let zeroPoint = f32x4.splat(fixed);
    if (symmetric) {
      const extreme = v128.bitselect(f32x4.neg(positive), negative, f32x4.gt(positive, negative));
      scale = f32x4.div(extreme, f32x4.splat(half));
    } else {
      scale = f32x4.div(f32x4.add(positive, negative), top);
      const z = f32x4.pmin(f32x4.div(negative, scale), top);
      zeroPoint = f32x4.floor(f32x4.add(z, f32x4.splat(BELOW_HALF)));
    }
    if (halfScales) {
      const halves = narrowFour(scale, true);
      v128.store64_lane(scratch + (<usize>block << 1), i16x8.narrow_i32x4_u(halves, halves), 0, HALF_SCALES);
      scale = widenFour(i32x4.shr_s(i32x4.shl(halves, 16), 16));
    }
    const reciprocal = f32x4.div(f32x4.splat(1), scale);
    v128.store(at, scale, SCALES);
    v128.store(at, v128.andnot(reciprocal, f32x4.eq(scale, zero)), RECIPROCALS);
    v128.store(at, zeroPoint, ZEROS);
    // MatMulNBits rounds (x / scale) + zero. Adding the half at once gives the same: tried on every float32 for every zero point
    // of 2 and 4 bits and 45 of those of 8 bits. A zero point of 0 needs the number below a half.
    const belowHalf = f32x4.splat(BELOW_HALF);
    if (linear) v128.store(at, belowHalf, OFFSETS);
    else {
      const offset = f32x4.add(zeroPoint, f32x4.splat(0.5));
      v128.store(at, v128.bitselect(belowHalf, offset, f32x4.eq(zeroPoint, zero)), OFFSETS);
    }
  }
  return v128.all_true<i32>(ordinary);
}

/** Finite magnitudes given by their bits; those of float16 infinities and NaN come out as 65536 and more. */
// @ts-ignore: decorator
@inline
function magnitudes<T>(bits: v128): v128 {
  if (isFloat<T>()) return bits;
  if (isSigned<T>()) return f32x4.mul(i32x4.shl(bits, 13), f32x4.splat(REBIAS));
  return i32x4.shl(bits, 16);
}

/** What is added to x / scale before it is rounded down. */
// @ts-ignore: decorator
@inline
export function offsetOf(zeroPoint: f32, linear: bool): f32 {
  return linear || zeroPoint == 0 ? BELOW_HALF : zeroPoint + 0.5;
}

/** Zero points of a group as bytes. */
export function zeroCodes(scratch: usize, blocks: i32): void {
  for (let block = 0; block < blocks; block++) {
    store<u8>(scratch + block, <u8><i32>load<f32>(scratch + (<usize>block << 2), ZEROS), ZERO_CODES);
  }
}
