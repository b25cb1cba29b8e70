/** Grids that fit the weights of a block better than its range does: see src/plain/fit-grid.ts, which does the same operations in the same order. */
import { narrowScale, widenOne } from './half';
import { FLOATS, HALF_SCALES, OFFSETS, offsetOf, ORDINARY, RECIPROCALS, SCALES, ZEROS } from './quantize-grid';

/** Candidates are the range shrunk to 15/16, 14/16, … of itself, for symmetric grids also turned round; then least squares. */
// @ts-ignore: decorator
@inline const SHRINKS: i32 = 10;
// @ts-ignore: decorator
@inline const REFITS: i32 = 3;
// @ts-ignore: decorator
@inline const ITERATIONS: i32 = 20;

// The block that is being fitted: module memory is private to a thread.
let floats: usize = 0;
let end: usize = 0;
let low: f32 = 0;
let high: f32 = 0;
let half: bool = false;
let scale: f32 = 0;
let zero: f32 = 0;
let cost: f32 = 0;
let better: f32 = 0;
let halfBits: u32 = 0;

/** Refits the grids of the ordinary blocks of a group. `fit`: 1 squares, 2 half-quadratic. */
export function fitGrids<T>(src: usize, blocks: i32, blockSize: i32, scratch: usize, fit: i32, symmetric: bool, lowest: f32, highest: f32, linear: bool, halfScales: bool): void {
  floats = scratch + FLOATS;
  end = floats + (<usize>blockSize << 2);
  low = lowest;
  high = highest;
  half = halfScales;
  for (let block = 0; block < blocks; block++, src += <usize>blockSize * sizeof<T>()) {
    const at = scratch + (<usize>block << 2);
    if (load<i32>(at, ORDINARY) == 0) continue;
    for (let i = 0; i < blockSize; i++) store<f32>(floats + (<usize>i << 2), widenOne<T>(src + <usize>i * sizeof<T>()));
    scale = load<f32>(at, SCALES);
    zero = load<f32>(at, ZEROS);
    if (fit == 1) fitSquares(symmetric);
    else fitHalfQuadratic(symmetric, blockSize);
    store<f32>(at, scale, SCALES);
    store<f32>(at, scale != 0 ? <f32>1 / scale : 0, RECIPROCALS);
    store<f32>(at, zero, ZEROS);
    store<f32>(at, offsetOf(zero, linear), OFFSETS);
    if (halfScales) store<u16>(scratch + (<usize>block << 1), <u16>narrowScale(scale), HALF_SCALES);
  }
}

/** As it is stored. */
// @ts-ignore: decorator
@inline
function stored(value: f32): f32 {
  if (!half) return value;
  store<u16>(changetype<usize>(end), <u16>narrowScale(value));
  return widenOne<i16>(end);
}

/** ((a0 + a1) + (a2 + a3)). */
// @ts-ignore: decorator
@inline
function total(x: v128): f32 {
  return f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3));
}

/** Whether a grid is better than what there is; then it takes its place. */
function consider(candidate: f32, zeroPoint: f32): bool {
  const length = stored(candidate);
  if (length == 0) return false;
  const lowest = f32x4.splat(low - zeroPoint);
  const highest = f32x4.splat(high - zeroPoint);
  const reciprocal = f32x4.splat(<f32>1 / length);
  const step = f32x4.splat(length);
  let costs = f32x4.splat(0);
  let products = f32x4.splat(0);
  let lengths = f32x4.splat(0);
  for (let at = floats; at < end; at += 16) {
    const x = v128.load(at);
    const steps = f32x4.pmax(lowest, f32x4.pmin(highest, f32x4.nearest(f32x4.mul(x, reciprocal))));
    const error = f32x4.sub(x, f32x4.mul(steps, step));
    costs = f32x4.add(costs, f32x4.mul(error, error));
    products = f32x4.add(products, f32x4.mul(steps, x));
    lengths = f32x4.add(lengths, f32x4.mul(steps, steps));
  }
  const found = total(costs);
  if (!(found < cost)) return false;
  cost = found;
  better = total(products) / total(lengths);
  scale = length;
  zero = zeroPoint;
  return true;
}

function fitSquares(symmetric: bool): void {
  const range = scale;
  cost = Infinity;
  better = 0;
  consider(range, zero);
  for (let shrink = 1; shrink <= SHRINKS; shrink++) consider(range * (1 - <f32>shrink / 16), zero);
  if (symmetric) {
    for (let shrink = 0; shrink <= SHRINKS; shrink++) consider(-range * (1 - <f32>shrink / 16), zero);
  } else {
    const zeroPoint = zero;
    if (zeroPoint > low) consider(scale, zeroPoint - 1);
    if (zeroPoint < high) consider(scale, zeroPoint + 1);
  }
  for (let refit = 0; refit < REFITS; refit++) if (!consider(better, zero)) break;
}

function fitHalfQuadratic(symmetric: bool, blockSize: i32): void {
  const count = <f64>blockSize;
  let length = scale;
  let zeroPoint = zero;
  let threshold: f32 = 0.1;
  let best: f64 = Infinity;
  for (let iteration = 0; iteration < ITERATIONS && length != 0; iteration++) {
    const lowest = f32x4.splat(low - zeroPoint);
    const highest = f32x4.splat(high - zeroPoint);
    const reciprocal = f32x4.splat(<f32>1 / length);
    const shrinkage = f32x4.splat(threshold);
    let costs = f32x4.splat(0);
    let sumS = f32x4.splat(0);
    let sumSS = f32x4.splat(0);
    let sumT = f32x4.splat(0);
    let sumST = f32x4.splat(0);
    for (let at = floats; at < end; at += 16) {
      const y = f32x4.mul(v128.load(at), reciprocal);
      const steps = f32x4.pmax(lowest, f32x4.pmin(highest, f32x4.nearest(y)));
      const error = f32x4.sub(y, steps);
      const size = f32x4.abs(error);
      const root = f32x4.sqrt(size);
      const fourth = f32x4.sqrt(root);
      costs = f32x4.add(costs, f32x4.mul(root, fourth));
      const shrunk = f32x4.pmax(f32x4.splat(0), f32x4.sub(size, f32x4.div(shrinkage, fourth)));
      const target = f32x4.sub(y, v128.or(shrunk, v128.and(error, i32x4.splat(0x80000000))));
      sumS = f32x4.add(sumS, steps);
      sumSS = f32x4.add(sumSS, f32x4.mul(steps, steps));
      sumT = f32x4.add(sumT, target);
      sumST = f32x4.add(sumST, f32x4.mul(steps, target));
    }
    const span = <f64>abs(length);
    const reached = <f64>total(costs) * sqrt(span) * sqrt(sqrt(span));
    if (!(reached < best)) break;
    best = reached;
    scale = length;
    zero = zeroPoint;
    const s = <f64>total(sumS);
    const ss = <f64>total(sumSS);
    const t = <f64>total(sumT);
    const st = <f64>total(sumST);
    let shift: f64 = 0;
    if (!symmetric) {
      const determinant = count * ss - s * s;
      const slope = (count * st - s * t) / determinant;
      if (!(determinant > 0 && slope > 0)) break;
      const wanted = nearest((t - slope * s) / count / slope);
      shift = max(min(wanted, <f64>zeroPoint - <f64>low), <f64>zeroPoint - <f64>high);
      zeroPoint -= <f32>shift;
    }
    const ratio = (st + shift * t) / (ss + 2 * shift * s + count * shift * shift);
    if (!(ratio > 0 && ratio < Infinity)) break;
    length = stored(<f32>(<f64>length * ratio));
    threshold = threshold / 1.01;
  }
}
