/** The step `shrink`: heads, features, channels or layers go, and the model is smaller and faster. */
import { structuredPrune, type StructuredPruneOptions } from '@penjing/compress';
import { type Calibrated, calibratedFields, calibrationOf, namesData, objectSchema, readsNoData, type StepKind, withoutData } from './step.js';
import { weightRule, weightRules } from './weight-rules.js';

export interface ShrinkStep extends Calibrated {
  readonly structure: StructuredPruneOptions['structure'];
  /** Share of the units that go, the same in every layer. */
  readonly ratio: number;
  /** How they are chosen. `activation` and `obs` run the model on `data`; layers have their own way, which does so too. */
  readonly method?: NonNullable<StructuredPruneOptions['method']>;
  /** What remains is fitted to what the model computed on `data`; true for `obs`. */
  readonly update?: boolean;
  /** Names of weights whose dimensions are left alone; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
}

export const shrinkStep: StepKind<ShrinkStep> = {
  schema: objectSchema(
    {
      structure: { enum: ['heads', 'ffn', 'channels', 'layers'] },
      ratio: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
      method: { enum: ['norm', 'activation', 'obs'] },
      update: { type: 'boolean' },
      ...calibratedFields,
      exclude: weightRules,
    },
    ['structure', 'ratio'],
  ),
  pass(step) {
    const { exclude = [], ...options } = withoutData(step);
    const { structure, method = 'norm', update = method === 'obs' } = options;
    if (structure !== 'layers' && method === 'norm' && !update && namesData(step)) {
      throw readsNoData('norm without an update', 'Choose --method activation or obs, add --update');
    }
    return structuredPrune({ ...options, exclude: exclude.map(weightRule) });
  },
  calibration: calibrationOf,
  runsJobs: true,
};
