/** The ways to store a quantized matrix: what each can hold, and how the graph is rewritten for it. */
import type { BlockScheme, Names, QuantizedTensors, Value } from '@penjing/core';
import type { WeightScheme } from './scheme.js';
import type { WeightMatrix } from '@penjing/core/calibrate';

export interface FormContext {
  readonly scheme: WeightScheme;
  /** accuracy_level of MatMulNBits. */
  readonly accuracyLevel: number;
  /** Names of the whole model. */
  readonly names: Names;
}

export interface WeightForm {
  readonly layout: BlockScheme['layout'];
  /** IR version that its element types need. */
  readonly irVersion: (scheme: WeightScheme) => number;
  /** Why it cannot hold a matrix, or undefined. */
  readonly refuse: (matrix: WeightMatrix, scheme: WeightScheme) => string | undefined;
  /** Rewrites every node that reads the matrix; gives the (first) stored values. */
  readonly apply: (matrix: WeightMatrix, quantized: QuantizedTensors, context: FormContext) => Value;
}
