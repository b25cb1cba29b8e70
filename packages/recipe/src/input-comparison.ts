/** What comparing two inputs found: the runtime's figures, and the errors of layers and weights. */
import type { WeightRecord } from '@penjing/core';
import type { Comparison } from '@penjing/runtime';
import type { LayerError } from './layer-errors.js';

export interface InputComparison extends Comparison {
  /** Error of the activations after each block, in order; empty when the graphs have no common values. */
  readonly layers: readonly LayerError[];
  /** Error of each weight, as it was recorded when the model was written. */
  readonly weights: readonly WeightRecord[];
}
