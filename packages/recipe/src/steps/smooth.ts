/** The step `smooth`: SmoothQuant, in front of int8 weights and activations. */
import { smoothActivations } from '@penjing/quantize';
import { type Calibrated, calibratedFields, calibrationOf, objectSchema, type StepKind, withoutData } from './step.js';
import { weightRule, weightRules } from './weight-rules.js';

export interface SmoothStep extends Calibrated {
  /** Share of the range that moves from activations into weights; 0.5 when absent. */
  readonly alpha?: number;
  /** Puts a Mul in front of layers where nothing can take the factors; false when absent. */
  readonly multiply?: boolean;
  /** Weights to leave alone; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
}

export const smoothStep: StepKind<SmoothStep> = {
  schema: objectSchema({ alpha: { type: 'number', minimum: 0, maximum: 1 }, multiply: { type: 'boolean' }, ...calibratedFields, exclude: weightRules }),
  pass(step) {
    const { exclude = [], ...options } = withoutData(step);
    return smoothActivations({ ...options, exclude: exclude.map(weightRule) });
  },
  calibration: calibrationOf,
  runsGraph: true,
};
