/** What happened to one weight; a pass that changes weights without a record is a bug. */

export interface WeightRecord {
  /** Name of the weight as the user knows it. */
  readonly name: string;
  /** For example `rtn int4 block 32 symmetric`. */
  readonly method: string;
  readonly elements: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Name of the stored tensor whose evaluation measures the error, when that happens only on saving. */
  readonly measuredBy?: string;
  /** ½‖w − w*‖² in the metric of the method, when it was measured. */
  readonly objective?: number;
  /** 10·log₁₀(‖w‖² / ‖w − w*‖²). */
  readonly snrDb?: number;
  /** max |w − w*|. */
  readonly maxError?: number;
  /** Share of zeros, of weights that were pruned. */
  readonly sparsity?: number;
  /** Inner size of the product that a weight became. */
  readonly rank?: number;
  /** Bits of a place in the codebook that a weight became. */
  readonly paletteBits?: number;
  /** Why a weight was left alone, or a fallback was taken. */
  readonly note?: string;
}
