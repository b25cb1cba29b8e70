/** @penjing/parallel: the vocabulary of plans; splitters and executors come with their release. */

/** How the parts of a parallel run become one output: y = 1/N Σ fᵢ(x), Σ fᵢ(x), or the parts side by side. */
export type Reduction = 'mean' | 'sum' | 'concat';

export interface Device {
  readonly name: string;
  /** Bytes a model part may take there. */
  readonly memoryBytes: number;
  /** Sustained FLOP/s of a large matrix product. */
  readonly flops: number;
}

export interface Link {
  readonly from: string;
  readonly to: string;
  /** One way, in seconds. */
  readonly latency: number;
  /** Bytes per second. */
  readonly bandwidth: number;
}
