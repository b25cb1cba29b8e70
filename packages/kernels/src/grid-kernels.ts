/** What quantization-aware training asks of kernels: weights on integer grids with a step size for each block. */

/**
 * Weights on an integer grid: scale · (code − zero), codes from `lowest` to `highest`. The array is (outer, length, inner), cut along the length into blocks of `block`, the last of
 * which may be short; a block has a scale.
 */
export interface WeightGrid {
  readonly outer: number;
  readonly length: number;
  readonly inner: number;
  readonly block: number;
  readonly lowest: number;
  readonly highest: number;
  /** (outer, ⌈length / block⌉, inner). */
  readonly scales: Float32Array;
  /** Integers, like the scales; 0 for all when absent. */
  readonly zeros?: Float32Array | undefined;
}

export interface ProjectOnGridArgs {
  readonly from: Float32Array;
  readonly to: Float32Array;
  readonly grid: WeightGrid;
}

export interface StraightThroughArgs {
  /** Of the rounded weights; in place: what remains for the latent ones, 0 beyond the ends of the grid. */
  readonly gradients: Float32Array;
  /** What was rounded. */
  readonly latent: Float32Array;
  readonly grid: WeightGrid;
  /** Out, like the scales: Σ g (q − v) within and Σ g q beyond the ends, v latent and q on the grid. */
  readonly sums: Float32Array;
}

/** What quantization-aware training does beside a step. In float32; sums of neighbours (inner = 1) in float64, whose last digits may differ. */
export interface GridKernels {
  /** to ← scale · round(clip(from / scale)): the nearest points of the grid, ties to the even code. All 0 where a scale is 0. */
  projectOnGrid(args: ProjectOnGridArgs): void;
  straightThrough(args: StraightThroughArgs): void;
}
