/**
 * MatMulNBits quantization of rows: scan a block, then quantize and pack it while it is in the first-level cache.
 * Types stand for compile-time choices. T: f32, u16 (bfloat16), i16 (float16). B: u8, u16, u32 for 2, 4, 8 bits.
 * S: f32 with statistics, u8 without.
 */
import { narrowScale, widenEven, widenOdd, widenOne } from './half';
import { magnitude, scanRange } from './quantize-scan';
import { slowBlock, Totals } from './quantize-slow';

/** 2^23: x + 2^23 holds the integer x in its low bits. */
// @ts-ignore: decorator
@inline const MAGIC: f32 = 8388608;
/** The largest float32 below 0.5. */
// @ts-ignore: decorator
@inline const BELOW_HALF: f32 = 0.49999997;
/** Blocks whose extreme lies outside take the slow path: inside, no product or square below leaves float32. */
// @ts-ignore: decorator
@inline const SMALLEST: f32 = 1.0e-12;
// @ts-ignore: decorator
@inline const LARGEST: f32 = 1.0e18;
/** Blocks summed in float32 before the sums move on to float64. */
// @ts-ignore: decorator
@inline const FLUSH: i32 = 16;

export const SYMMETRIC = 1;
export const HALF_SCALES = 2;

export function quantizeNbits<T, B, S>(
  src: usize, rows: i32, cols: i32, blockSize: i32, flags: i32,
  values: usize, scales: usize, zeros: usize, codes: usize, totals: Totals,
): void {
  const bits = <i32>sizeof<B>() * 2;
  const perByte = 8 / bits;
  const half = <f32>(1 << (bits - 1));
  const top = <f32>((1 << bits) - 1);
  const symmetric = (flags & SYMMETRIC) != 0;
  const halfScales = (flags & HALF_SCALES) != 0;
  const blockBytes = <usize>(blockSize / perByte);
  const fast = (blockSize & 7) == 0;
  const zeroVector = i32x4.splat(0);
  const topVector = f32x4.splat(top);

  let squares = zeroVector;
  let errors = zeroVector;
  let worst = zeroVector;
  let pending = 0;

  for (let row = 0; row < rows; row++) {
    let zeroByte = 0;
    let zeroCount = 0;
    let out = values;
    for (let begin = 0; begin < cols; begin += blockSize) {
      const count = min(blockSize, cols - begin);
      let zero = <i32>half;
      let positive: f32 = 0;
      let negative: f32 = 0;
      const whole = fast && count == blockSize;
      if (whole) {
        const range = scanRange<T>(src, count);
        positive = magnitude<T>(i32x4.extract_lane(range, 0));
        negative = magnitude<T>(i32x4.extract_lane(range, 2));
      }
      const extreme = positive > negative ? positive : negative;
      if (extreme > SMALLEST && extreme < LARGEST) {
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
        const reciprocal = f32x4.splat(scale != 0 ? <f32>1 / scale : 0);
        const offset = f32x4.splat(zero == 0 ? BELOW_HALF : <f32>zero + 0.5);
        const scaleVector = f32x4.splat(scale);
        const zeroPoint = f32x4.splat(<f32>zero);
        const end = src + <usize>blockSize * sizeof<T>();
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
          const p = f32x4.add(f32x4.mul(even, reciprocal), offset);
          const q = f32x4.add(f32x4.mul(odd, reciprocal), offset);
          const evenCode = f32x4.floor(f32x4.pmax(f32x4.pmin(p, topVector), zeroVector));
          const oddCode = f32x4.floor(f32x4.pmax(f32x4.pmin(q, topVector), zeroVector));
          out = storeCodes<B>(out, f32x4.add(f32x4.add(evenCode, f32x4.splat(MAGIC)), f32x4.mul(oddCode, f32x4.splat(<f32>(1 << bits)))));
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
        src = end;
        if (isFloat<S>() && ++pending == FLUSH) {
          totals.sumSquares += sum(squares);
          totals.sumSquaredError += sum(errors);
          squares = zeroVector;
          errors = zeroVector;
          pending = 0;
        }
      } else {
        zero = slowBlock<T>(src, count, bits, false, symmetric, halfScales, isFloat<S>(), codes, scales, totals);
        const used = (count + perByte - 1) / perByte;
        packTail(codes, count, bits, out, used, begin == 0 || (perByte > 1 && begin % (blockSize * perByte) == 0));
        memory.fill(out + used, 0, blockBytes - used);
        out += blockBytes;
        src += <usize>count * sizeof<T>();
      }
      scales += halfScales ? 2 : 4;
      if (!symmetric) {
        zeroByte |= zero << zeroCount;
        zeroCount += bits;
        if (zeroCount == 8) {
          store<u8>(zeros++, zeroByte);
          zeroByte = 0;
          zeroCount = 0;
        }
      }
    }
    if (zeroCount > 0) {
      // Blocks that do not exist have the middle code.
      for (; zeroCount < 8; zeroCount += bits) zeroByte |= <i32>half << zeroCount;
      store<u8>(zeros++, zeroByte);
    }
    values = out;
  }
  if (isFloat<S>()) {
    totals.sumSquares += sum(squares);
    totals.sumSquaredError += sum(errors);
    const largest = sqrt(<f64>max(max(f32x4.extract_lane(worst, 0), f32x4.extract_lane(worst, 1)), max(f32x4.extract_lane(worst, 2), f32x4.extract_lane(worst, 3))));
    if (largest > totals.maxError) totals.maxError = largest;
  }
}

/** Stores eight codes; `pairs` holds code 2k + code 2k+1 << bits in the low bits of its lane k, under the exponent of MAGIC. */
// @ts-ignore: decorator
@inline
function storeCodes<B>(out: usize, pairs: v128): usize {
  if (sizeof<B>() == 1) {
    const nibbles = v128.and(pairs, i32x4.splat(0xff));
    const bytes = v128.or(nibbles, i64x2.shr_u(nibbles, 28));
    v128.store16_lane(out, i8x16.swizzle(bytes, i8x16(0, 8, 0, 8, 0, 8, 0, 8, 0, 8, 0, 8, 0, 8, 0, 8)), 0);
    return out + 2;
  }
  if (sizeof<B>() == 2) {
    v128.store32_lane(out, i8x16.shuffle(pairs, pairs, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12), 0);
    return out + 4;
  }
  v128.store64_lane(out, i8x16.shuffle(pairs, pairs, 0, 1, 4, 5, 8, 9, 12, 13, 0, 1, 4, 5, 8, 9, 12, 13), 0);
  return out + 8;
}

/** Packs codes; unused bits of the last byte are those of the byte before, or 0 at the start of a group of 8 / bits blocks. */
function packTail(codes: usize, count: i32, bits: i32, out: usize, bytes: i32, freshBuffer: bool): void {
  const perByte = 8 / bits;
  for (let i = 0; i < bytes; i++) {
    const previous = i == 0 && freshBuffer ? 0 : <i32>load<u8>(out + i - 1);
    let byte = 0;
    for (let j = 0; j < perByte; j++) {
      const at = i * perByte + j;
      const shift = j * bits;
      byte |= at < count ? <i32>load<u8>(codes + at) << shift : previous & (((1 << bits) - 1) << shift);
    }
    store<u8>(out + i, byte);
  }
}

// @ts-ignore: decorator
@inline
function sum(x: v128): f64 {
  return (<f64>f32x4.extract_lane(x, 0) + <f64>f32x4.extract_lane(x, 1)) + (<f64>f32x4.extract_lane(x, 2) + <f64>f32x4.extract_lane(x, 3));
}
