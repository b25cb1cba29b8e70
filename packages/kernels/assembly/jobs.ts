/** What the caller writes to memory before a call with many arguments, and what it finds there after. Layouts as in src/wasm/jobs.ts. */

// @ts-ignore: decorator
@unmanaged
export class QuantizeJob {
  // Results, added to what is there.
  sumSquares: f64;
  sumSquaredError: f64;
  maxError: f64;
  nonFinite: f64;
  // Arguments.
  src: usize;
  rows: i32;
  cols: i32;
  bits: i32;
  blockSize: i32;
  symmetric: i32;
  halfScales: i32;
  values: usize;
  scales: usize;
  zeros: usize;
  /** `Grids`, then room for one block, a byte per code. */
  scratch: usize;
  /** Bits of the grid, at most `bits`. */
  gridBits: i32;
  /** 0 from the range, 1 least squares, 2 half-quadratic. */
  fit: i32;
}

// @ts-ignore: decorator
@unmanaged
export class DequantizeJob {
  dst: usize;
  rows: i32;
  cols: i32;
  bits: i32;
  blockSize: i32;
  symmetric: i32;
  halfScales: i32;
  values: usize;
  scales: usize;
  /** 0 when there are no zero points. */
  zeros: usize;
}

/** What encoding blocks lost, added to what is there. */
// @ts-ignore: decorator
@unmanaged
export class EncodeResult {
  sumSquares: f64;
  sumSquaredError: f64;
  maxError: f64;
  nonFinite: f64;
}
