/**
 * Small dense panels for blocked factorisations and successive rounding. Matrices are row-major float32; `cols` is a multiple of
 * 16 and also the row stride. A strip of 16 columns is taken through all rows before the next, so that it stays in the first-level
 * cache; its columns are independent, and every sum runs over ascending rows with a rounded product, as in the plain twins.
 */

// @ts-ignore: decorator
@inline const STRIP: i32 = 16;

/** x ← lower⁻¹ x: lower (rows, rows), of which the upper triangle is not read; x (rows, cols). */
export function solveLower(lower: usize, rows: i32, x: usize, cols: i32): void {
  const stride = <usize>cols << 2;
  for (let c = 0; c < cols; c += STRIP) {
    const strip = x + (<usize>c << 2);
    for (let i = 0; i < rows; i++) {
      const factors = lower + ((<usize>i * <usize>rows) << 2);
      const row = strip + <usize>i * stride;
      let a0 = v128.load(row);
      let a1 = v128.load(row, 16);
      let a2 = v128.load(row, 32);
      let a3 = v128.load(row, 48);
      for (let j = 0, other = strip; j < i; j++, other += stride) {
        const f = v128.load32_splat(factors + (<usize>j << 2));
        a0 = f32x4.sub(a0, f32x4.mul(f, v128.load(other)));
        a1 = f32x4.sub(a1, f32x4.mul(f, v128.load(other, 16)));
        a2 = f32x4.sub(a2, f32x4.mul(f, v128.load(other, 32)));
        a3 = f32x4.sub(a3, f32x4.mul(f, v128.load(other, 48)));
      }
      const pivot = v128.load32_splat(factors + (<usize>i << 2));
      v128.store(row, f32x4.div(a0, pivot));
      v128.store(row, f32x4.div(a1, pivot), 16);
      v128.store(row, f32x4.div(a2, pivot), 32);
      v128.store(row, f32x4.div(a3, pivot), 48);
    }
  }
}

/** c ← c + a b: a (rows, inner), b (inner, cols), c (rows, cols). */
export function addProduct(a: usize, b: usize, c: usize, rows: i32, inner: i32, cols: i32): void {
  const stride = <usize>cols << 2;
  for (let at = 0; at < cols; at += STRIP) {
    const shift = <usize>at << 2;
    for (let i = 0; i < rows; i++) {
      const row = c + shift + <usize>i * stride;
      let a0 = v128.load(row);
      let a1 = v128.load(row, 16);
      let a2 = v128.load(row, 32);
      let a3 = v128.load(row, 48);
      let factor = a + ((<usize>i * <usize>inner) << 2);
      for (let j = 0, other = b + shift; j < inner; j++, other += stride, factor += 4) {
        const f = v128.load32_splat(factor);
        a0 = f32x4.add(a0, f32x4.mul(f, v128.load(other)));
        a1 = f32x4.add(a1, f32x4.mul(f, v128.load(other, 16)));
        a2 = f32x4.add(a2, f32x4.mul(f, v128.load(other, 32)));
        a3 = f32x4.add(a3, f32x4.mul(f, v128.load(other, 48)));
      }
      v128.store(row, a0);
      v128.store(row, a1, 16);
      v128.store(row, a2, 32);
      v128.store(row, a3, 48);
    }
  }
}

/** What `project` needs besides: see `ProjectRowsArgs` in src/kernels.ts. Positions are 0 where there is no such array. */
@unmanaged
class ProjectJob {
  rows: i32;
  cols: i32;
  lower: usize;
  weights: usize;
  carried: usize;
  mask: usize;
  scales: usize;
  zeroPoints: usize;
  highest: f32;
  values: usize;
  differences: usize;
  codes: usize;
  /** Bytes from the grids of a row to those of the next; 0 when all rows have the same. */
  gridStride: usize;
}

/** Rows one after the other, each corrected by the differences of those before it; adds to the float64 at `out`. */
export function projectRows(at: usize, out: usize): void {
  const job = changetype<ProjectJob>(at);
  const stride = <usize>job.cols << 2;
  let sum = f64x2.splat(0);
  for (let c = 0; c < job.cols; c += STRIP) {
    const shift = <usize>c << 2;
    const strip = job.differences + shift;
    for (let i = 0; i < job.rows; i++) {
      const factors = job.lower + ((<usize>i * <usize>job.rows) << 2);
      const row = shift + <usize>i * stride;
      let a0 = v128.load(job.carried + row);
      let a1 = v128.load(job.carried + row, 16);
      let a2 = v128.load(job.carried + row, 32);
      let a3 = v128.load(job.carried + row, 48);
      for (let j = 0, other = strip; j < i; j++, other += stride) {
        const f = v128.load32_splat(factors + (<usize>j << 2));
        a0 = f32x4.add(a0, f32x4.mul(f, v128.load(other)));
        a1 = f32x4.add(a1, f32x4.mul(f, v128.load(other, 16)));
        a2 = f32x4.add(a2, f32x4.mul(f, v128.load(other, 32)));
        a3 = f32x4.add(a3, f32x4.mul(f, v128.load(other, 48)));
      }
      const pivot = v128.load32_splat(factors + (<usize>i << 2));
      const column = shift + <usize>i * job.gridStride;
      const codes = <usize>c + <usize>i * <usize>job.cols;
      sum = finish(job, row, column, codes, a0, pivot, sum);
      sum = finish(job, row + 16, column + 16, codes + 4, a1, pivot, sum);
      sum = finish(job, row + 32, column + 32, codes + 8, a2, pivot, sum);
      sum = finish(job, row + 48, column + 48, codes + 12, a3, pivot, sum);
    }
  }
  store<f64>(out, load<f64>(out) + (f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1)));
}

/** Four weights: the best values given what is fixed already, projected; what that cost is added to `sum`. */
// @ts-ignore: decorator
@inline
function finish(job: ProjectJob, row: usize, column: usize, code: usize, carried: v128, pivot: v128, sum: v128): v128 {
  const weight = v128.load(job.weights + row);
  const best = f32x4.add(weight, f32x4.div(carried, pivot));
  let value = best;
  if (job.scales != 0) {
    const scale = v128.load(job.scales + column);
    const zero = v128.load(job.zeroPoints + column);
    const used = f32x4.ne(scale, f32x4.splat(0));
    const steps = v128.and(f32x4.div(best, scale), used); // 0 / 0 where a scale is 0
    const whole = f32x4.nearest(f32x4.add(steps, zero));
    const kept = f32x4.pmin(f32x4.pmax(f32x4.splat(0), whole), f32x4.splat(job.highest)); // NaN becomes 0
    value = f32x4.mul(f32x4.sub(kept, zero), scale);
    const ints = i32x4.trunc_sat_f32x4_u(kept);
    const halves = i16x8.narrow_i32x4_u(ints, ints);
    store<u32>(job.codes + code, <u32>i32x4.extract_lane(i8x16.narrow_i16x8_u(halves, halves), 0));
  }
  if (job.mask != 0) value = v128.and(value, i32x4.ne(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(job.mask + code))), i32x4.splat(0)));
  v128.store(job.values + row, value);
  v128.store(job.differences + row, f32x4.sub(weight, value));
  const error = f32x4.mul(pivot, f32x4.sub(best, value));
  const low = f64x2.promote_low_f32x4(error);
  const high = f64x2.promote_low_f32x4(i64x2.shuffle(error, error, 1, 1));
  return f64x2.add(sum, f64x2.add(f64x2.mul(low, low), f64x2.mul(high, high)));
}
