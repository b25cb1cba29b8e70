/** Small dense panels, one rounding per operation: the definition of what the SIMD panels compute. */
import type { ProjectRowsArgs } from '../kernels.js';
import { checkPanel, checkProjection, hasGridPerRow } from '../shared/check-panel.js';

const { fround } = Math;

/** In float64: it is a small part of a factorisation, and the part that decides whether it succeeds. */
export function choleskyPanel(a: Float32Array, size: number): number {
  checkPanel({ a: [a, size, size] });
  const lower = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * size + j]!;
      for (let k = 0; k < j; k++) sum -= lower[i * size + k]! * lower[j * size + k]!;
      if (i !== j) lower[i * size + j] = sum / lower[j * size + j]!;
      else if (sum > 0 && sum < Infinity) lower[i * size + i] = Math.sqrt(sum);
      else return i;
    }
  }
  a.set(lower);
  return -1;
}

export function solveLower(lower: Float32Array, x: Float32Array, rows: number, cols: number): void {
  checkPanel({ lower: [lower, rows, rows], x: [x, rows, cols] });
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < i; j++) {
      const factor = lower[i * rows + j]!;
      for (let c = 0; c < cols; c++) x[i * cols + c] = fround(x[i * cols + c]! - fround(factor * x[j * cols + c]!));
    }
    const pivot = lower[i * rows + i]!;
    for (let c = 0; c < cols; c++) x[i * cols + c] = fround(x[i * cols + c]! / pivot);
  }
}

export function addProduct(a: Float32Array, b: Float32Array, c: Float32Array, rows: number, inner: number, cols: number): void {
  checkPanel({ a: [a, rows, inner], b: [b, inner, cols], c: [c, rows, cols] });
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < inner; j++) {
      const factor = a[i * inner + j]!;
      for (let at = 0; at < cols; at++) c[i * cols + at] = fround(c[i * cols + at]! + fround(factor * b[j * cols + at]!));
    }
  }
}

export function projectRows(args: ProjectRowsArgs): number {
  checkProjection(args);
  const { rows, cols, lower, weights, carried, keep, grid, values, differences } = args;
  const gridRow = grid && hasGridPerRow(grid, rows, cols) ? cols : 0;
  let objective = 0;
  for (let i = 0; i < rows; i++) {
    const pivot = lower[i * rows + i]!;
    for (let c = 0; c < cols; c++) {
      const at = i * cols + c;
      let sum = carried[at]!;
      for (let j = 0; j < i; j++) sum = fround(sum + fround(lower[i * rows + j]! * differences[j * cols + c]!));
      const best = fround(weights[at]! + fround(sum / pivot));
      let value = best;
      if (grid) {
        const scale = grid.scales[i * gridRow + c]!;
        const zero = grid.zeroPoints[i * gridRow + c]!;
        const steps = scale === 0 || Number.isNaN(scale) ? 0 : fround(best / scale);
        const code = clampCode(roundHalfEven(fround(steps + zero)), grid.highest);
        grid.codes[at] = code;
        value = fround(fround(code - zero) * scale);
      }
      if (keep && keep[at] === 0) value = 0;
      values[at] = value;
      differences[at] = fround(weights[at]! - value);
      const error = fround(pivot * fround(best - value));
      objective += error * error;
    }
  }
  return objective;
}

/** NaN becomes 0. */
function clampCode(code: number, highest: number): number {
  return code > 0 ? Math.min(code, highest) : 0;
}

function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
