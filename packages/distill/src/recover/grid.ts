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

/** Calls `visit` with each run of `inner` neighbours that lie in as many neighbouring blocks: where the weights begin and where their scales begin. */
function eachRun(layout: GridLayout, visit: (at: number, scale: number) => void): void {
  const { outer, length, inner, block } = layout;
  const blocks = blocksAlong(layout);
  for (let o = 0; o < outer; o++) {
    for (let k = 0; k < length; k++) visit((o * length + k) * inner, (o * blocks + Math.floor(k / block)) * inner);
  }
}

/** to ← scale · clip(round(from / scale), lowest − zero, highest − zero): the nearest points of the grid, ties to the even code as ONNX rounds. */
export function project(from: Float32Array, to: Float32Array, scales: Float32Array, grid: Grid): void {
  const { inner, lowest, highest, zeros } = grid;
  eachRun(grid, (at, first) => {
    for (let i = 0; i < inner; i++) {
      const scale = scales[first + i]!;
      const zero = zeros ? zeros[first + i]! : 0;
      const steps = scale === 0 ? 0 : roundEven(from[at + i]! / scale);
      to[at + i] = scale * (steps < lowest - zero ? lowest - zero : steps > highest - zero ? highest - zero : steps);
    }
  });
}

/** Adding and taking away 1.5 · 2⁵² rounds a double to an integer, ties to even, for what is below 2⁵¹. */
const SHIFT = 1.5 * 2 ** 52;
const roundEven = (x: number): number => (Math.abs(x) < 2 ** 51 ? x + SHIFT - SHIFT : x);

/**
 * Straight through: the gradient of a weight on the grid is that of what it was rounded from, but for weights beyond the ends of the grid, whose gradient becomes 0, in place. Gives
 * ∂L/∂ log |scale| per block: Σ g (q − v) within and Σ g q beyond, q on the grid and v before, which is the gradient of LSQ times the scale. Times 1/√(n · Q), n weights in a block
 * and Q steps to the end of the grid: the factor of LSQ.
 */
export function straightThrough(gradient: Float32Array, rounded: Float32Array, latent: Float32Array, scales: Float32Array, grid: Grid): Float32Array {
  const { inner, lowest, highest, zeros, length, block } = grid;
  const sums = new Float32Array(scaleCount(grid));
  const factor = 1 / Math.sqrt(Math.min(length, block) * Math.max(1, Math.floor((highest - lowest) / 2)));
  eachRun(grid, (at, first) => {
    for (let i = 0; i < inner; i++) {
      const [scale, zero, g, q, v] = [scales[first + i]!, zeros ? zeros[first + i]! : 0, gradient[at + i]!, rounded[at + i]!, latent[at + i]!];
      const steps = v / scale;
      if (steps < lowest - zero || steps > highest - zero) {
        sums[first + i]! += factor * g * q;
        gradient[at + i] = 0;
      } else sums[first + i]! += factor * g * (q - v);
    }
  });
  return sums;
}
