/**
 * Grids that fit the weights of a block better than its range does. Sums run in float32 over four interleaved parts, element i in part
 * i mod 4, so that the SIMD twin takes the same decisions.
 */
import { roundToFloat16 } from './half.js';

const { fround } = Math;

/** The grid of a block: w ≈ (code − zeroPoint) · scale, codes from `low` to `high`. */
export interface FittedGrid {
  scale: number;
  zeroPoint: number;
}

export interface FitOptions {
  readonly low: number;
  readonly high: number;
  /** The zero point stays where it is. */
  readonly symmetric: boolean;
  readonly scaleDtype: 'float32' | 'float16';
}

/** Blocks whose largest magnitude lies outside keep the grid of their range: inside, no square leaves float32. */
const SMALLEST = fround(1.0e-12);
const LARGEST = fround(1.0e18);

/** Whether the finite elements x[0 .. count) are in range. */
export function canFit(x: Float32Array, count: number): boolean {
  let most = 0;
  for (let i = 0; i < count; i++) most = Math.max(most, Math.abs(x[i]!));
  return most > SMALLEST && most < LARGEST;
}

function stored(scale: number, dtype: FitOptions['scaleDtype']): number {
  return dtype === 'float32' ? fround(scale) : roundToFloat16(scale, true);
}

function nearest(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/** Codes less the zero point. */
function stepsOf(y: number, lowest: number, highest: number): number {
  return Math.max(Math.min(nearest(y), highest), lowest);
}

function total(parts: Float32Array): number {
  return fround(fround(parts[0]! + parts[1]!) + fround(parts[2]! + parts[3]!));
}

interface Squares {
  /** Σ (x − x̂)². */
  cost: number;
  /** The scale that is best for the codes of this one. */
  better: number;
}

function squares(x: Float32Array, count: number, { scale, zeroPoint }: FittedGrid, { low, high }: FitOptions): Squares {
  if (scale === 0) return { cost: Infinity, better: 0 };
  const lowest = low - zeroPoint;
  const highest = high - zeroPoint;
  const reciprocal = fround(1 / scale);
  const cost = new Float32Array(4);
  const products = new Float32Array(4);
  const lengths = new Float32Array(4);
  for (let i = 0; i < count; i++) {
    const part = i & 3;
    const steps = stepsOf(fround(x[i]! * reciprocal), lowest, highest);
    const error = fround(x[i]! - fround(steps * scale));
    cost[part]! += fround(error * error);
    products[part]! += fround(steps * x[i]!);
    lengths[part]! += fround(steps * steps);
  }
  return { cost: total(cost), better: fround(total(products) / total(lengths)) };
}

/** Candidates are the range shrunk to 15/16, 14/16, … of itself, for symmetric grids also turned round; then the scale of least squares. */
const SHRINKS = 10;
const REFITS = 3;

/** The grid of least Σ (x − x̂)² among shrunk ranges, their neighbours and refitted scales; never a worse one than `grid`. */
export function fitSquares(x: Float32Array, count: number, grid: FittedGrid, options: FitOptions): void {
  const { symmetric, low, high, scaleDtype } = options;
  const range = grid.scale;
  let best = squares(x, count, grid, options);
  const consider = (scale: number, zeroPoint: number): boolean => {
    const candidate = { scale: stored(scale, scaleDtype), zeroPoint };
    const found = squares(x, count, candidate, options);
    if (!(found.cost < best.cost)) return false;
    best = found;
    grid.scale = candidate.scale;
    grid.zeroPoint = zeroPoint;
    return true;
  };
  for (let shrink = 1; shrink <= SHRINKS; shrink++) consider(fround(range * (1 - shrink / 16)), grid.zeroPoint);
  if (symmetric) {
    for (let shrink = 0; shrink <= SHRINKS; shrink++) consider(fround(-range * (1 - shrink / 16)), grid.zeroPoint);
  } else {
    const { zeroPoint } = grid;
    if (zeroPoint > low) consider(grid.scale, zeroPoint - 1);
    if (zeroPoint < high) consider(grid.scale, zeroPoint + 1);
  }
  for (let refit = 0; refit < REFITS; refit++) if (!consider(best.better, grid.zeroPoint)) break;
}

const ITERATIONS = 20;

/**
 * Half-quadratic quantization (Badri and Shaji 2023): Σ |x − x̂|^p for p < 1, which forgives outliers, by turns of a shrinkage of the
 * errors and a least-squares fit of the grid to what is left. Errors are counted in steps of the grid, which makes it independent of
 * the size of the weights; p is 3/4, because that power is two exactly rounded square roots, in place of the authors' 0.7; β is 10
 * and grows by 1 % as theirs. They fit a real zero point: here it is rounded, as integer kernels want it, and the scale fitted again.
 */
export function fitHalfQuadratic(x: Float32Array, count: number, grid: FittedGrid, options: FitOptions): void {
  const { symmetric, low, high, scaleDtype } = options;
  let { scale, zeroPoint } = grid;
  let threshold = fround(0.1);
  let best = Infinity;
  for (let iteration = 0; iteration < ITERATIONS && scale !== 0; iteration++) {
    const lowest = low - zeroPoint;
    const highest = high - zeroPoint;
    const reciprocal = fround(1 / scale);
    const costs = new Float32Array(4);
    const sums = { s: new Float32Array(4), ss: new Float32Array(4), t: new Float32Array(4), st: new Float32Array(4) };
    for (let i = 0; i < count; i++) {
      const part = i & 3;
      const y = fround(x[i]! * reciprocal);
      const steps = stepsOf(y, lowest, highest);
      const error = fround(y - steps);
      const size = Math.abs(error);
      const root = fround(Math.sqrt(size));
      const fourth = fround(Math.sqrt(root));
      costs[part]! += fround(root * fourth);
      const shrunk = Math.max(0, fround(size - fround(threshold / fourth)));
      const target = error < 0 ? fround(y + shrunk) : fround(y - shrunk);
      sums.s[part]! += steps;
      sums.ss[part]! += fround(steps * steps);
      sums.t[part]! += target;
      sums.st[part]! += fround(steps * target);
    }
    const length = Math.abs(scale);
    const cost = total(costs) * Math.sqrt(length) * Math.sqrt(Math.sqrt(length));
    if (!(cost < best)) break;
    best = cost;
    grid.scale = scale;
    grid.zeroPoint = zeroPoint;
    const s = total(sums.s);
    const ss = total(sums.ss);
    const t = total(sums.t);
    const st = total(sums.st);
    let shift = 0;
    if (!symmetric) {
      const determinant = count * ss - s * s;
      const slope = (count * st - s * t) / determinant;
      const wanted = nearest((t - slope * s) / count / slope);
      if (!(determinant > 0 && slope > 0)) break;
      shift = Math.max(Math.min(wanted, zeroPoint - low), zeroPoint - high);
      zeroPoint -= shift;
    }
    const ratio = (st + shift * t) / (ss + 2 * shift * s + count * shift * shift);
    if (!(ratio > 0 && ratio < Infinity)) break;
    scale = stored(scale * ratio, scaleDtype);
    threshold = fround(threshold / fround(1.01));
  }
}
