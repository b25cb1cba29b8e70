/**
 * Block quantization of rows: scan a block, then quantize and store it while it is in the first-level cache.
 * Types stand for compile-time choices. T: f32, u16 (bfloat16), i16 (float16). B: u8, u16, u32 for MatMulNBits with
 * 2, 4, 8 bits, f64 for one code per byte (`linear`). S: f32 with statistics, u8 without.
 */
import { narrowScale, widenEven, widenOdd, widenOne } from './half';
import { QuantizeJob } from './jobs';
import { packBlock, storeCodes } from './quantize-codes';
import { magnitude, scanRange } from './quantize-scan';
import { slowBlock } from './quantize-slow';

/** The largest float32 below 0.5: for x ≥ 0, floor(x + this) rounds half away from zero, 0.49999997 included. */
// @ts-ignore: decorator
@inline const BELOW_HALF: f32 = 0.49999997;
/** Blocks whose extreme lies outside take the slow path: inside, no product or square below leaves float32. */
// @ts-ignore: decorator
@inline const SMALLEST: f32 = 1.0e-12;
// @ts-ignore: decorator
@inline const LARGEST: f32 = 1.0e18;
/** Vectors of eight summed in float32 before the sums move on to float64. */
// @ts-ignore: decorator
@inline const FLUSH: i32 = 64;

export function quantize<T, B, S>(job: QuantizeJob): void {
  const linear = isFloat<B>();
  const bits = linear ? job.bits : <i32>sizeof<B>() * 2;
  const perByte = linear ? 1 : 8 / bits;
  const half = <f32>(1 << (bits - 1));
  const top = <f32>((1 << bits) - 1);
  const cols = job.cols;
  const blockSize = job.blockSize;
  const symmetric = job.symmetric != 0;
  const halfScales = job.halfScales != 0;
  const vectorBlocks = (blockSize & 7) == 0;
  const low = f32x4.splat(linear && symmetric ? -half : 0);
  const high = f32x4.splat(linear && symmetric ? half - 1 : top);

  let src = job.src;
  let out = job.values;
  let scales = job.scales;
  let zeros = job.zeros;
  let squares = f32x4.splat(0);
  let errors = f32x4.splat(0);
  let worst = f32x4.splat(0);
  let pending = 0;

  for (let row = 0; row < job.rows; row++) {
    let zeroByte = 0;
    let zeroBits = 0;
    for (let begin = 0; begin < cols; begin += blockSize) {
      const count = min(blockSize, cols - begin);
      const end = src + <usize>count * sizeof<T>();
      let zero = linear && symmetric ? 0 : <i32>half;
      let positive: f32 = 0;
      let negative: f32 = 0;
      if (vectorBlocks && count == blockSize) {
        const range = scanRange<T>(src, count);
        positive = magnitude<T>(i32x4.extract_lane(range, 0));
        negative = magnitude<T>(i32x4.extract_lane(range, 2));
      }
      // Comparisons with NaN are false, so NaN and infinity go the slow way too.
      if ((positive > SMALLEST || negative > SMALLEST) && positive < LARGEST && negative < LARGEST) {
        let scale: f32;
        if (symmetric) scale = (positive > negative ? -positive : negative) / half;
        else {
          scale = (positive + negative) / top;
          zero = <i32>(min(negative / scale, top) + BELOW_HALF);
        }
        if (halfScales) {
          store<u16>(scales, narrowScale(scale));
          scale = widenOne<i16>(scales);
        } else store<f32>(scales, scale);
        const scaleVector = f32x4.splat(scale);
        const reciprocal = f32x4.splat(scale != 0 ? <f32>1 / scale : 0);
        const zeroPoint = f32x4.splat(<f32>zero);
        // MatMulNBits rounds x / scale + zero. Adding the half at once is the same: tried on every float32, every zero point.
        const offset = linear || zero == 0 ? f32x4.splat(BELOW_HALF) : f32x4.splat(<f32>zero + 0.5);
        for (let at = src; at < end; at += 8 * sizeof<T>()) {
          let even: v128;
          let odd: v128;
          if (isFloat<T>()) {
            const a = v128.load(at);
            const b = v128.load(at, 16);
            even = i8x16.shuffle(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
            odd = i8x16.shuffle(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
          } else {
            const x = v128.load(at);
            even = widenEven<T>(x);
            odd = widenOdd<T>(x);
          }
          let evenCode = f32x4.mul(even, reciprocal);
          let oddCode = f32x4.mul(odd, reciprocal);
          if (linear) {
            evenCode = clamp(f32x4.add(roundAway(evenCode, offset), zeroPoint), low, high);
            oddCode = clamp(f32x4.add(roundAway(oddCode, offset), zeroPoint), low, high);
          } else {
            evenCode = f32x4.floor(clamp(f32x4.add(evenCode, offset), low, high));
            oddCode = f32x4.floor(clamp(f32x4.add(oddCode, offset), low, high));
          }
          out = storeCodes<B>(out, evenCode, oddCode);
          if (isFloat<S>()) {
            const d = f32x4.sub(even, f32x4.mul(f32x4.sub(evenCode, zeroPoint), scaleVector));
            const e = f32x4.sub(odd, f32x4.mul(f32x4.sub(oddCode, zeroPoint), scaleVector));
            const dd = f32x4.mul(d, d);
            const ee = f32x4.mul(e, e);
            squares = f32x4.add(squares, f32x4.add(f32x4.mul(even, even), f32x4.mul(odd, odd)));
            errors = f32x4.add(errors, f32x4.add(dd, ee));
            worst = f32x4.pmax(worst, f32x4.pmax(dd, ee));
          }
        }
        if (isFloat<S>()) {
          pending += count >> 3;
          if (pending >= FLUSH) {
            job.sumSquares += sum(squares);
            job.sumSquaredError += sum(errors);
            squares = f32x4.splat(0);
            errors = f32x4.splat(0);
            pending = 0;
          }
        }
      } else {
        const codes = linear ? out : job.codes;
        zero = slowBlock<T>(src, count, bits, linear, symmetric, halfScales, isFloat<S>(), codes, scales, job);
        if (linear) out += count;
        else {
          const size = blockSize / perByte;
          packBlock(codes, count, bits, out, size, begin % (blockSize * perByte) == 0);
          out += size;
        }
      }
      src = end;
      scales += halfScales ? 2 : 4;
      if (!symmetric) {
        zeroByte |= zero << zeroBits;
        zeroBits += linear ? 8 : bits;
        if (zeroBits == 8) {
          store<u8>(zeros++, zeroByte);
          zeroByte = 0;
          zeroBits = 0;
        }
      }
    }
    if (zeroBits > 0) {
      // Blocks that do not exist have the middle code.
      for (; zeroBits < 8; zeroBits += bits) zeroByte |= <i32>half << zeroBits;
      store<u8>(zeros++, zeroByte);
    }
  }
  if (isFloat<S>()) {
    job.sumSquares += sum(squares);
    job.sumSquaredError += sum(errors);
    const worst2 = max(f32x4.extract_lane(worst, 0), f32x4.extract_lane(worst, 1));
    const largest = sqrt(<f64>max(worst2, max(f32x4.extract_lane(worst, 2), f32x4.extract_lane(worst, 3))));
    if (largest > job.maxError) job.maxError = largest;
  }
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
