/** Ranges, errors and products of float32 arrays. Results go to `out` as float64. */

/** min, max; NaN skipped. */
export function minMax(src: usize, count: i32, out: usize): void {
  let low = f32x4.splat(load<f32>(out));
  let high = f32x4.splat(load<f32>(out, 4));
  const bulk = count & ~3;
  for (let i = 0; i < bulk; i += 4, src += 16) {
    const x = v128.load(src);
    low = f32x4.pmin(low, x); // x < low ? x : low, so NaN never wins
    high = f32x4.pmax(high, x);
  }
  for (let i = bulk; i < count; i++, src += 4) {
    const x = v128.load32_splat(src);
    low = f32x4.pmin(low, x);
    high = f32x4.pmax(high, x);
  }
  store<f32>(out, min(min(f32x4.extract_lane(low, 0), f32x4.extract_lane(low, 1)), min(f32x4.extract_lane(low, 2), f32x4.extract_lane(low, 3))));
  store<f32>(out, max(max(f32x4.extract_lane(high, 0), f32x4.extract_lane(high, 1)), max(f32x4.extract_lane(high, 2), f32x4.extract_lane(high, 3))), 4);
}

/** Pairs whose sums stay in float32. */
// @ts-ignore: decorator
@inline const RUN: i32 = 64;
/** Sums of squares between these lose nothing that counts in float32. */
// @ts-ignore: decorator
@inline const ORDINARY_LOW: f32 = 1e-24;
// @ts-ignore: decorator
@inline const ORDINARY_HIGH: f32 = 1e30;

/** Adds Σ a², Σ (a-b)² and the number of pairs that are not finite; raises max |a-b|. */
export function errorStats(a: usize, b: usize, count: i32, out: usize): void {
  const bulk = count - (count % RUN);
  for (let i = 0; i < bulk; i += RUN, a += 4 * RUN, b += 4 * RUN) {
    let squares = f32x4.splat(0);
    let moreSquares = f32x4.splat(0);
    let errors = f32x4.splat(0);
    let moreErrors = f32x4.splat(0);
    let worst = f32x4.splat(0);
    for (let k: usize = 0; k < 4 * RUN; k += 32) {
      const x0 = v128.load(a + k);
      const x1 = v128.load(a + k, 16);
      const d0 = f32x4.abs(f32x4.sub(x0, v128.load(b + k)));
      const d1 = f32x4.abs(f32x4.sub(x1, v128.load(b + k, 16)));
      squares = f32x4.add(squares, f32x4.mul(x0, x0));
      moreSquares = f32x4.add(moreSquares, f32x4.mul(x1, x1));
      errors = f32x4.add(errors, f32x4.mul(d0, d0));
      moreErrors = f32x4.add(moreErrors, f32x4.mul(d1, d1));
      worst = f32x4.pmax(worst, f32x4.pmax(d0, d1));
    }
    const square = sumOfLanes(f32x4.add(squares, moreSquares));
    const error = sumOfLanes(f32x4.add(errors, moreErrors));
    // False where a pair is not finite, too.
    if (square > ORDINARY_LOW && square < ORDINARY_HIGH && error < ORDINARY_HIGH) {
      store<f64>(out, load<f64>(out) + <f64>square);
      store<f64>(out, load<f64>(out, 8) + <f64>error, 8);
      const two = f32x4.pmax(worst, i8x16.shuffle(worst, worst, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
      const largest = <f64>f32x4.extract_lane(two, 0);
      const other = <f64>f32x4.extract_lane(two, 1);
      if (largest > load<f64>(out, 16)) store<f64>(out, largest, 16);
      if (other > load<f64>(out, 16)) store<f64>(out, other, 16);
    } else wideErrorStats(a, b, RUN, out);
  }
  wideErrorStats(a, b, count - bulk, out);
}

// @ts-ignore: decorator
@inline
function sumOfLanes(x: v128): f32 {
  const two = f32x4.add(x, i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return f32x4.extract_lane(two, 0) + f32x4.extract_lane(two, 1);
}

/** In float64, pair by pair. */
function wideErrorStats(a: usize, b: usize, count: i32, out: usize): void {
  let squares = f64x2.splat(0);
  let errors = f64x2.splat(0);
  let worst = f64x2.splat(0);
  let skipped = i64x2.splat(0);
  const bulk = count & ~1;
  const infinity = f64x2.splat(Infinity);
  for (let i = 0; i < count; i += 2, a += 8, b += 8) {
    const both = i < bulk;
    const x = f64x2.promote_low_f32x4(both ? v128.load64_zero(a) : v128.load32_zero(a));
    const y = f64x2.promote_low_f32x4(both ? v128.load64_zero(b) : v128.load32_zero(b));
    const d = f64x2.abs(f64x2.sub(x, y));
    const finite = f64x2.lt(d, infinity);
    const error = v128.and(d, finite);
    const value = v128.and(x, finite);
    squares = f64x2.add(squares, f64x2.mul(value, value));
    errors = f64x2.add(errors, f64x2.mul(error, error));
    worst = f64x2.pmax(worst, error);
    skipped = i64x2.sub(skipped, v128.not(finite)); // true is -1
  }
  store<f64>(out, load<f64>(out) + (f64x2.extract_lane(squares, 0) + f64x2.extract_lane(squares, 1)));
  store<f64>(out, load<f64>(out, 8) + (f64x2.extract_lane(errors, 0) + f64x2.extract_lane(errors, 1)), 8);
  store<f64>(out, max(load<f64>(out, 16), max(f64x2.extract_lane(worst, 0), f64x2.extract_lane(worst, 1))), 16);
  store<f64>(out, load<f64>(out, 24) + <f64>(i64x2.extract_lane(skipped, 0) + i64x2.extract_lane(skipped, 1)), 24);
}

/** Adds a·a, a·b and b·b. */
export function products(a: usize, b: usize, count: i32, out: usize): void {
  let aa = f64x2.splat(0);
  let ab = f64x2.splat(0);
  let bb = f64x2.splat(0);
  const bulk = count & ~1;
  for (let i = 0; i < count; i += 2, a += 8, b += 8) {
    const both = i < bulk;
    const x = f64x2.promote_low_f32x4(both ? v128.load64_zero(a) : v128.load32_zero(a));
    const y = f64x2.promote_low_f32x4(both ? v128.load64_zero(b) : v128.load32_zero(b));
    aa = f64x2.add(aa, f64x2.mul(x, x));
    ab = f64x2.add(ab, f64x2.mul(x, y));
    bb = f64x2.add(bb, f64x2.mul(y, y));
  }
  store<f64>(out, load<f64>(out) + (f64x2.extract_lane(aa, 0) + f64x2.extract_lane(aa, 1)));
  store<f64>(out, load<f64>(out, 8) + (f64x2.extract_lane(ab, 0) + f64x2.extract_lane(ab, 1)), 8);
  store<f64>(out, load<f64>(out, 16) + (f64x2.extract_lane(bb, 0) + f64x2.extract_lane(bb, 1)), 16);
}
