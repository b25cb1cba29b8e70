/** The step `cast`: weights stored as 16-bit floats, widened when the model is loaded; or computation in float16 too. */
import { type Pass, PenjingError } from '@penjing/core';
import { castWeights, halfPrecision } from '@penjing/quantize';
import { type Calibrated, calibratedFields, calibrationOf, namesData, objectSchema, type StepKind, withoutData } from './step.js';
import { weightRule, weightRules } from './weight-rules.js';

export interface CastStep extends Calibrated {
  readonly dtype: 'float16' | 'bfloat16';
  /** Of weights that are stored only: smaller ones stay. */
  readonly minElements?: number;
  /** Operators compute in float16 too; what overflows on `data` stays float32. */
  readonly compute?: boolean;
  /** How many times larger than on `data` values may become; 2 when absent. */
  readonly headroom?: number;
  /** Nodes that compute in float32; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
}

export const castStep: StepKind<CastStep> = {
  schema: objectSchema({
    dtype: { enum: ['float16', 'bfloat16'] },
    minElements: { type: 'integer', minimum: 1 },
    compute: { type: 'boolean' },
    headroom: { type: 'number', minimum: 1 },
    ...calibratedFields,
    exclude: weightRules,
  }, ['dtype']),
  pass: passOf,
  calibration: calibrationOf,
  stored: ({ dtype, compute = false }) => ({ dtype, half: compute }),
};

function passOf(step: CastStep): Pass {
  const { dtype, minElements, compute = false, headroom, exclude } = withoutData(step);
  if (!compute) {
    if (namesData(step) || headroom !== undefined || exclude !== undefined) {
      throw new PenjingError('E_OPTION', 'weights that are stored as 16-bit floats need no data', { hint: 'Ask for computation in float16 too (compute, --compute), or leave out data, headroom and exclude.' });
    }
    return castWeights({ dtype, ...(minElements !== undefined && { minElements }) });
  }
  if (dtype !== 'float16') throw new PenjingError('E_OPTION', `no runtime computes whole models in ${dtype}`, { hint: 'Choose float16.' });
  if (minElements !== undefined) throw new PenjingError('E_OPTION', 'minElements is of weights that are stored only', { hint: 'Leave it out, or leave out compute.' });
  return halfPrecision({ ...(headroom !== undefined && { headroom }), ...(exclude && { exclude: exclude.map(weightRule) }) });
}
