/** The step `cast`: weights stored as 16-bit floats, widened when the model is loaded. */
import { castWeights } from '@penjing/quantize';
import { objectSchema, type StepKind } from './step.js';

export interface CastStep {
  readonly dtype: 'float16' | 'bfloat16';
  readonly minElements?: number;
}

export const castStep: StepKind<CastStep> = {
  schema: objectSchema({ dtype: { enum: ['float16', 'bfloat16'] }, minElements: { type: 'integer', minimum: 1 } }, ['dtype']),
  pass: castWeights,
  stored: ({ dtype }) => ({ dtype }),
};
