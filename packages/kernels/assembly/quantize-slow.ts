/**
 * One block, one element at a time: ragged tails, and blocks with zeros only, NaN, infinities or scales at the ends of
 * float32. Same operations in the same order as src/plain/quantize.ts.
 */
import { narrowScale, widenOne } from './half';
import { QuantizeJob } from './jobs';

// @ts-ignore: decorator
@inline
function halfAway(x: f32): f32 {
  const whole = trunc(x);
  return x - whole >= 0.5 ? whole + 1 : whole;
}

/**
 * Quantizes `count` elements at `src` to one code per byte at `codes`, writes the scale, returns the zero point; `fixed` is that of
 * symmetric grids, `bits` are those of the grid.
 * `linear`: zero point added after rounding, codes signed when symmetric.
 */
export function slowBlock<T>(
  src: usize, count: i32, bits: i32, fixed: f32, linear: bool, symmetric: bool, halfScale: bool, withStats: bool,
  codes: usize, scaleAt: usize, totals: QuantizeJob,
): i32 {
  const half = <f32>(1 << (bits - 1));
  const top = <f32>((1 << bits) - 1);
  let min: f32 = Infinity;
  let max: f32 = -Infinity;
  for (let i = 0; i < count; i++) {
    let x = widenOne<T>(src + <usize>i * sizeof<T>());
    if (x != x) x = 0;
    if (x < min && x != -Infinity) min = x;
    if (x > max && x != Infinity) max = x;
  }
  if (min == Infinity) {
    min = 0;
    max = 0;
  }

  let scale: f32;
  let zero = fixed;
  if (symmetric) scale = -(abs(max) > abs(min) ? max : min) / half;
  else {
    if (min > 0) min = 0;
    if (max < 0) max = 0;
    scale = (max - min) / top;
    const z = scale != 0 ? <f32>0 - min / scale : min;
    zero = z < 0 ? 0 : z > top ? top : halfAway(z);
  }
  if (halfScale) {
    const stored = narrowScale(scale);
    store<u16>(scaleAt, stored);
    scale = widenOne<i16>(scaleAt);
  } else store<f32>(scaleAt, scale);
  const reciprocal: f32 = scale != 0 ? <f32>1 / scale : 0;

  const low: f32 = symmetric ? fixed - half : 0;
  const high: f32 = low + top;
  for (let i = 0; i < count; i++) {
    const x = widenOne<T>(src + <usize>i * sizeof<T>());
    let y = x * reciprocal;
    if (y != y) y = 0;
    if (linear) y = (y < 0 ? -halfAway(-y) : halfAway(y)) + zero;
    else y += zero;
    const code = y > low ? (y < high ? (linear ? y : halfAway(y)) : high) : low;
    store<u8>(codes + i, <u8><i32>code);
    if (x - x != 0) totals.nonFinite += 1; // NaN, or infinity minus infinity
    if (withStats && abs(x) != Infinity) {
      const value = x != x ? <f64>0 : <f64>x;
      const error = abs(value - <f64>((code - zero) * scale));
      totals.sumSquares += value * value;
      totals.sumSquaredError += error == error ? error * error : Infinity;
      totals.maxError = error == error ? max64(totals.maxError, error) : Infinity;
    }
  }
  return <i32>zero;
}

// @ts-ignore: decorator
@inline
function max64(a: f64, b: f64): f64 {
  return a > b ? a : b;
}
