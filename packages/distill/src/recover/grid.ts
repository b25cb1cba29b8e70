/** Weights on integer grids with step sizes that are learned: LSQ (Esser et al. 2020, arXiv:1902.08153), per tensor, per channel and per block. */

/** How a weight is cut: as (outer, length, inner), with blocks of `block` along the length, the last of which may be short. Scales are (outer, ⌈length / block⌉, inner). */
export interface GridLayout {
  readonly outer: number;
  readonly length: number;
  readonly inner: number;
  readonly block: number;
}

/** w = scale · (code − zero) with codes from `lowest` to `highest`. */
export interface Grid extends GridLayout {
  readonly lowest: number;
  readonly highest: number;
  /** One per block, integers; 0 for all when absent. Fixed. */
  readonly zeros?: Float32Array | undefined;
}

export const blocksAlong = ({ length, block }: GridLayout): number => Math.ceil(length / block);
export const scaleCount = (layout: GridLayout): number => layout.outer * blocksAlong(layout) * layout.inner;

/** What the loops read of a row of `inner` blocks, in doubles: steps per unit, and the ends of the grid in steps from 0. */
interface Row {
  readonly inverse: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
}

function readRow(row: Row, first: number, scales: Float32Array, { inner, lowest, highest, zeros }: Grid): void {
  for (let i = 0; i < inner; i++) {
    const scale = scales[first + i]!;
    const zero = zeros ? zeros[first + i]! : 0;
    row.inverse[i] = scale === 0 ? 0 : 1 / scale;
    row.low[i] = lowest - zero;
    row.high[i] = highest - zero;
  }
}

/**
 * Calls `visit` for each row of `inner` neighbouring blocks: where its weights begin, how many lines of `inner` it has, and where its scales begin. The two loops over weights are written out in the callers: a call
 * for each weight takes ten times as long.
 */
function eachRow(grid: Grid, scales: Float32Array, visit: (row: Row, at: number, lines: number, first: number) => void): void {
  const { outer, length, inner, block } = grid;
  const blocks = blocksAlong(grid);
  const row = { inverse: new Float64Array(inner), low: new Float64Array(inner), high: new Float64Array(inner) };
  for (let o = 0; o < outer; o++) {
    for (let b = 0; b < blocks; b++) {
      const first = (o * blocks + b) * inner;
      readRow(row, first, scales, grid);
      visit(row, (o * length + b * block) * inner, Math.min(block, length - b * block), first);
    }
  }
}

/** Adding and taking away 1.5 · 2⁵² rounds a double to an integer, ties to even, for what is below 2⁵¹. */
const SHIFT = 1.5 * 2 ** 52;

/** to ← scale · round(clip(from / scale, lowest − zero, highest − zero)): the nearest points of the grid, ties to the even code as ONNX rounds. */
export function project(from: Float32Array, to: Float32Array, scales: Float32Array, grid: Grid): void {
  const { inner } = grid;
  eachRow(grid, scales, ({ inverse, low, high }, at, lines, first) => {
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < inner; i++) {
        const place = at + line * inner + i;
        const steps = from[place]! * inverse[i]!;
        const kept = steps < low[i]! ? low[i]! : steps > high[i]! ? high[i]! : steps;
        to[place] = scales[first + i]! * (kept + SHIFT - SHIFT);
      }
    }
  });
}

/**
 * Straight through: the gradient of a weight on the grid is that of what it was rounded from, but for weights beyond the ends of the grid, whose gradient becomes 0, in place. Gives
 * ∂L/∂ log |scale| per block: Σ g (q − v) within and Σ g q beyond, q on the grid and v before, which is the gradient of LSQ times the scale. Times 1/√(n · Q), n weights in a block
 * and Q steps to the end of the grid: the factor of LSQ.
 */
export function straightThrough(gradient: Float32Array, rounded: Float32Array, latent: Float32Array, scales: Float32Array, grid: Grid): Float32Array {
  const { inner, lowest, highest, length, block } = grid;
  const sums = new Float32Array(scaleCount(grid));
  const factor = 1 / Math.sqrt(Math.min(length, block) * Math.max(1, Math.floor((highest - lowest) / 2)));
  const sum = new Float64Array(inner);
  eachRow(grid, scales, ({ inverse, low, high }, at, lines, first) => {
    sum.fill(0);
    if (inner === 1) {
      sums[first] = factor * lineSum({ gradient, rounded, latent }, at, at + lines, inverse[0]!, low[0]!, high[0]!);
      return;
    }
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < inner; i++) {
        const place = at + line * inner + i;
        const v = latent[place]!;
        const steps = v * inverse[i]!;
        const inside = steps >= low[i]! && steps <= high[i]!;
        const g = gradient[place]!;
        sum[i]! += g * (inside ? rounded[place]! - v : rounded[place]!);
        if (!inside) gradient[place] = 0;
      }
    }
    for (let i = 0; i < inner; i++) sums[first + i] = factor * sum[i]!;
  });
  return sums;
}

/** The same for one block of neighbours, summed in a register. */
function lineSum({ gradient, rounded, latent }: { readonly gradient: Float32Array; readonly rounded: Float32Array; readonly latent: Float32Array }, start: number, end: number, inverse: number, low: number, high: number): number {
  let sum = 0;
  for (let place = start; place < end; place++) {
    const v = latent[place]!;
    const steps = v * inverse;
    const inside = steps >= low && steps <= high;
    const g = gradient[place]!;
    sum += g * (inside ? rounded[place]! - v : rounded[place]!);
    if (!inside) gradient[place] = 0;
  }
  return sum;
}
