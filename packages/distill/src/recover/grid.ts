/** Weights on integer grids with step sizes that are learned: LSQ (Esser et al. 2020, arXiv:1902.08153), per tensor, per channel and per block. */
import { updateKernels } from '../optimizers/kernels.js';

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

/** to ← scale · round(clip(from / scale, lowest − zero, highest − zero)): the nearest points of the grid, ties to the even code as ONNX rounds. */
export function project(from: Float32Array, to: Float32Array, scales: Float32Array, grid: Grid): void {
  updateKernels().projectOnGrid({ from, to, grid: { ...grid, scales } });
}

/**
 * Straight through: the gradient of a weight on the grid is that of what it was rounded from, but for weights beyond the ends of the grid, whose gradient becomes 0, in place. Gives
 * ∂L/∂ log |scale| per block: Σ g (q − v) within and Σ g q beyond, q on the grid and v before, which is the gradient of LSQ times the scale. Times 1/√(n · Q), n weights in a block
 * and Q steps to the end of the grid: the factor of LSQ.
 */
export function straightThrough(gradients: Float32Array, latent: Float32Array, scales: Float32Array, grid: Grid): Float32Array {
  const { lowest, highest, length, block } = grid;
  const sums = new Float32Array(scales.length);
  updateKernels().straightThrough({ gradients, latent, grid: { ...grid, scales }, sums });
  const factor = 1 / Math.sqrt(Math.min(length, block) * Math.max(1, Math.floor((highest - lowest) / 2)));
  for (let i = 0; i < sums.length; i++) sums[i]! *= factor;
  return sums;
}
