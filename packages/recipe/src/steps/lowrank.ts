/** The step `lowrank`: matrices as products of two thin ones. */
import { lowRank, type LowRankOptions } from '@penjing/compress';
import { type Calibrated, calibratedFields, calibrationOf, namesData, objectSchema, readsNoData, type StepKind, withoutData } from './step.js';
import { weightRule, weightRules } from './weight-rules.js';

export interface LowRankStep extends Calibrated {
  /** `svd`: nearest weights. `asvd`: inputs scaled by the activations of `data`. `svd-llm`: nearest outputs on `data`. */
  readonly method?: NonNullable<LowRankOptions['method']>;
  /** One of the three says how much is kept. */
  readonly rank?: number;
  readonly ratio?: number;
  readonly energy?: number;
  /** `ratio` for all matrices together. */
  readonly global?: boolean;
  readonly alpha?: number;
  /** Names of weights to leave alone; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
}

export const lowRankStep: StepKind<LowRankStep> = {
  schema: objectSchema({
    method: { enum: ['svd', 'asvd', 'svd-llm'] },
    rank: { type: 'integer', minimum: 1 },
    ratio: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
    energy: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
    global: { type: 'boolean' },
    alpha: { type: 'number', minimum: 0, maximum: 1 },
    ...calibratedFields,
    exclude: weightRules,
  }),
  pass(step) {
    const { method = 'svd', global, exclude = [], ...options } = withoutData(step);
    if (method === 'svd' && namesData(step)) {
      throw readsNoData('svd', 'Choose --method svd-llm');
    }
    return lowRank({ method, ...options, ...(global && { scope: 'global' as const }), exclude: exclude.map(weightRule) });
  },
  calibration: calibrationOf,
  runsJobs: true,
};
