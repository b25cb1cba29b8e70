/** Quantizes and stores ordinary blocks whose grids are known. Types as in quantize.ts. */
import { widenEven, widenOdd } from './half';
import { QuantizeJob } from './jobs';
import { storeCodes } from './quantize-codes';
import { OFFSETS, RECIPROCALS, SCALES, ZEROS } from './quantize-grid';

/** Returns the position after the stored codes. At most 4096 elements per call: sums are float32 until the end. */
export function encodeBlocks<T, B, S>(src: usize, blocks: i32, blockSize: i32, grid: usize, out: usize, lowest: f32, highest: f32, job: QuantizeJob): usize {
  const low = f32x4.splat(lowest);
  const high = f32x4.splat(highest);
  const bytes = <usize>blockSize * sizeof<T>();
  const last = grid + (<usize>blocks << 2);
  let squares = f32x4.splat(0);
  let errors = f32x4.splat(0);
  let worst = f32x4.splat(0);
  for (; grid < last; grid += 4) {
    const reciprocal = v128.load32_splat(grid, RECIPROCALS);
    const offset = v128.load32_splat(grid, OFFSETS);
    const scale = v128.load32_splat(grid, SCALES);
    const zeroPoint = v128.load32_splat(grid, ZEROS);
    const end = src + bytes;
    for (; src < end; src += 8 * sizeof<T>()) {
      let even: v128;
      let odd: v128;
      if (isFloat<T>()) {
        const a = v128.load(src);
        const b = v128.load(src, 16);
        even = i8x16.shuffle(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
        odd = i8x16.shuffle(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
      } else {
        const x = v128.load(src);
        even = widenEven<T>(x);
        odd = widenOdd<T>(x);
      }
      let evenCode = f32x4.mul(even, reciprocal);
      let oddCode = f32x4.mul(odd, reciprocal);
      if (isFloat<B>()) {
        evenCode = clamp(f32x4.add(roundAway(evenCode, offset), zeroPoint), low, high);
        oddCode = clamp(f32x4.add(roundAway(oddCode, offset), zeroPoint), low, high);
      } else {
        evenCode = f32x4.floor(clamp(f32x4.add(evenCode, offset), low, high));
        oddCode = f32x4.floor(clamp(f32x4.add(oddCode, offset), low, high));
      }
      out = storeCodes<B>(out, evenCode, oddCode);
      if (isFloat<S>()) {
        const d = f32x4.sub(even, f32x4.mul(f32x4.sub(evenCode, zeroPoint), scale));
        const e = f32x4.sub(odd, f32x4.mul(f32x4.sub(oddCode, zeroPoint), scale));
        const dd = f32x4.mul(d, d);
        const ee = f32x4.mul(e, e);
        squares = f32x4.add(squares, f32x4.add(f32x4.mul(even, even), f32x4.mul(odd, odd)));
        errors = f32x4.add(errors, f32x4.add(dd, ee));
        worst = f32x4.pmax(worst, f32x4.pmax(dd, ee));
      }
    }
  }
  if (isFloat<S>()) {
    job.sumSquares += sum(squares);
    job.sumSquaredError += sum(errors);
    const worst2 = max(f32x4.extract_lane(worst, 0), f32x4.extract_lane(worst, 1));
    const largest = sqrt(<f64>max(worst2, max(f32x4.extract_lane(worst, 2), f32x4.extract_lane(worst, 3))));
    if (largest > job.maxError) job.maxError = largest;
  }
  return out;
}

// @ts-ignore: decorator
@inline
function clamp(x: v128, low: v128, high: v128): v128 {
  return f32x4.pmax(f32x4.pmin(x, high), low);
}

/** Half away from zero: the magnitude is rounded, the sign put back. */
// @ts-ignore: decorator
@inline
function roundAway(x: v128, belowHalf: v128): v128 {
  const sign = v128.and(x, i32x4.splat(0x80000000));
  return v128.or(f32x4.floor(f32x4.add(f32x4.abs(x), belowHalf)), sign);
}

// @ts-ignore: decorator
@inline
function sum(x: v128): f64 {
  const low = <f64>f32x4.extract_lane(x, 0) + <f64>f32x4.extract_lane(x, 1);
  return low + (<f64>f32x4.extract_lane(x, 2) + <f64>f32x4.extract_lane(x, 3));
}
