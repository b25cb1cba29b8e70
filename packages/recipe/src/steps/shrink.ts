/** The step `shrink`: heads, features, channels or layers go, and the model is smaller and faster. */
import { pruneWidth, structuredPrune, type StructuredPruneOptions } from '@penjing/compress';
import { PenjingError } from '@penjing/core';
import { gateModel } from '../gate-model.js';
import { type Calibrated, calibratedFields, calibrationOf, namesData, objectSchema, readsNoData, type StepKind, withoutData } from './step.js';
import { weightRule, weightRules } from './weight-rules.js';

export interface ShrinkStep extends Calibrated {
  /** `width`: all of `channels`, `ffn`, `hidden` and `heads` that the model has. */
  readonly structure: StructuredPruneOptions['structure'] | 'width';
  /** Share of the units that go, the same in every layer. */
  readonly ratio?: number;
  /** Instead: how many stay in each layer; of heads, those of queries. */
  readonly size?: number;
  /** Of layers, instead of a ratio: which stay, whatever they compute. `half` and `4` (evenly spaced, `even:`), `first:4`, `outer:4` (the first three and the last), or counted from 0: `0,2,4`, `12:0,2,4`. */
  readonly keep?: string;
  /** How they are chosen. `activation`, `obs` and `taylor` run the model on `data`; layers have their own way, which does so too. */
  readonly method?: NonNullable<StructuredPruneOptions['method']>;
  /** What remains is fitted to what the model computed on `data`; true for `obs`. */
  readonly update?: boolean;
  /** Names of weights whose dimensions are left alone; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
}

export const shrinkStep: StepKind<ShrinkStep> = {
  schema: objectSchema(
    {
      structure: { enum: ['heads', 'ffn', 'channels', 'hidden', 'width', 'layers'] },
      ratio: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
      size: { type: 'integer', minimum: 1 },
      keep: { type: 'string', minLength: 1 },
      method: { enum: ['norm', 'activation', 'obs', 'taylor'] },
      update: { type: 'boolean' },
      ...calibratedFields,
      exclude: weightRules,
    },
    ['structure'],
  ),
  pass(step) {
    const { exclude = [], keep, ratio, size, ...options } = withoutData(step);
    const { structure, method = 'norm', update = method === 'obs' } = options;
    if (keep !== undefined) {
      if (structure !== 'layers') throw new PenjingError('E_OPTION', `${structure} have no map of those that stay`, { hint: 'keep is for layers; give a ratio.' });
      if (ratio !== undefined || size !== undefined || options.method !== undefined || options.update !== undefined || namesData(step)) {
        throw new PenjingError('E_OPTION', 'layers that are named are not chosen', { hint: 'Give keep alone, or ratio and data.' });
      }
      // Loaded when it is used only.
      return { name: `keep layers ${keep}`, run: async (model, context) => (await import('@penjing/distill')).keepLayers({ keep }).run(model, context) };
    }
    if (ratio === undefined && size === undefined) throw new PenjingError('E_OPTION', 'what share goes is not said', { hint: structure === 'layers' ? 'Give a ratio (0.5 for a half), or keep: half, outer:4 or 0,2,4.' : 'Give a ratio: 0.25 for a quarter of the parts.' });
    if (structure !== 'layers' && method === 'norm' && !update && namesData(step)) {
      throw readsNoData('norm without an update', 'Choose --method activation or obs, add --update');
    }
    const rules = { exclude: exclude.map(weightRule), ...(method === 'taylor' && { gateModel }) };
    if (structure === 'width') {
      if (ratio === undefined || size !== undefined) throw new PenjingError('E_OPTION', 'a width has a ratio: its parts have sizes of their own', { hint: 'Give a ratio, or shrink ffn, hidden and heads one by one.' });
      if (method === 'obs' || options.update) throw new PenjingError('E_OPTION', 'hidden features are not made up for by what remains', { hint: 'Choose the method norm, activation or taylor without an update.' });
      return pruneWidth({ ratio, method, ...rules });
    }
    return structuredPrune({ ...options, structure, ...(ratio !== undefined && { ratio }), ...(size !== undefined && { size }), ...rules });
  },
  calibration: calibrationOf,
  runsJobs: true,
};
