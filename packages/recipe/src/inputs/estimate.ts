/** Predicts what a conversion takes from the names and shapes of the weights alone; constants are measured in `bench/RESULTS.md`. */
import { dtypes, elementCount, type Tensor } from '@penjing/core';

export interface ConversionEstimate {
  readonly parameters: number;
  /** Weights in float32, and what a session needs beside them. */
  readonly runBytes: number;
  readonly seconds: number;
  readonly peakBytes: number;
}

/** Peak of the whole process, load check included, measured on 1 to 24 GB checkpoints: it does not follow their size. */
const PEAK_BYTES = 260e6;

/** A layer of graph: nodes, names, expressions. */
const BYTES_PER_TENSOR = 20e3;

/** Start of the process, threads, and the load check of a small model. */
const START_SECONDS = 0.4;

/** Written bytes per second on two cores. */
const WRITE_BYTES_PER_SECOND = 1e9;

export function estimateConversion(tensors: readonly { readonly tensor: Pick<Tensor, 'dtype' | 'shape'> }[]): ConversionEstimate {
  let parameters = 0;
  let written = 0;
  for (const { tensor } of tensors) {
    const { kind, bits } = dtypes[tensor.dtype];
    const count = elementCount(tensor.shape);
    parameters += count;
    written += kind === 'float' ? count * 4 : Math.ceil((count * bits) / 8);
  }
  return {
    parameters,
    runBytes: written * 1.1 + 60e6,
    seconds: START_SECONDS + written / WRITE_BYTES_PER_SECOND,
    peakBytes: PEAK_BYTES + tensors.length * BYTES_PER_TENSOR,
  };
}
