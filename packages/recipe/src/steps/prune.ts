/** The step `prune`: zeros among the weights. */
import { magnitudePrune, type PruneRule, type MagnitudePruneOptions, sparseGpt, storeSparse, wanda } from '@penjing/compress';
import { type Pass, PenjingError } from '@penjing/core';
import { type Calibrated, calibratedFields, calibrationOf, namesData, objectSchema, readsNoData, type StepKind, withoutData } from './step.js';
import { matching, weightRule, weightRules } from './weight-rules.js';

export interface PruneStep extends Calibrated {
  /** `magnitude`: the smallest. `wanda`, `sparsegpt`: those that matter least to what the model computes on `data`. */
  readonly method?: keyof typeof methods;
  /** Share of the weights that become 0. */
  readonly sparsity?: number;
  /** `2:4`: two of every four inputs of an output stay. */
  readonly pattern?: string;
  /** Of magnitude: one threshold per weight, or one for all. */
  readonly scope?: 'layer' | 'global';
  /** Names of weights to leave alone; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
  /** `sparse`: as sparse initializers of ONNX, where that is smaller. `dense` when absent. */
  readonly store?: 'dense' | 'sparse';
  /** Of `wanda` and `sparsegpt`: what certain weights get instead; the first that matches counts. */
  readonly layers?: readonly { readonly match: readonly string[]; readonly sparsity?: number; readonly pattern?: string; readonly method?: 'none' }[];
}

interface Method {
  readonly pass: (options: MagnitudePruneOptions & { readonly layers?: readonly PruneRule[] }) => Pass;
  /** Runs the model on `data`. */
  readonly calibrated: boolean;
}

const methods = {
  magnitude: { pass: magnitudePrune, calibrated: false },
  wanda: { pass: wanda, calibrated: true },
  sparsegpt: { pass: sparseGpt, calibrated: true },
} as const satisfies Record<string, Method>;

const sparsityFields = { sparsity: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 }, pattern: { type: 'string', minLength: 1 } };

export const pruneStep: StepKind<PruneStep> = {
  schema: objectSchema({
    method: { enum: Object.keys(methods) },
    ...sparsityFields,
    scope: { enum: ['layer', 'global'] },
    store: { enum: ['dense', 'sparse'] },
    ...calibratedFields,
    exclude: weightRules,
    layers: { type: 'array', items: objectSchema({ match: weightRules, ...sparsityFields, method: { enum: ['none'] } }, ['match']) },
  }),
  pass(step, { format }) {
    const { method = 'magnitude', scope, store, exclude = [], layers, ...options } = withoutData(step);
    const { pass, calibrated } = methods[method];
    if (!calibrated && namesData(step)) {
      throw readsNoData(method, 'Choose --method wanda or sparsegpt');
    }
    if (calibrated && scope !== undefined) throw new PenjingError('E_OPTION', `${method} knows no scope`, { hint: 'Leave out --scope: magnitude has one.' });
    if (!calibrated && layers) throw new PenjingError('E_OPTION', `${method} has one sparsity for all layers`, { hint: 'Choose wanda or sparsegpt.' });
    if (store === 'sparse' && format !== 'onnx') throw new PenjingError('E_OPTION', `${format} files store no sparse weights`, { hint: 'Write ONNX, or leave out --store.' });
    const pruned = pass({ ...options, ...(layers && { layers: layers.map(matching) }), ...(scope !== undefined && { scope }), exclude: exclude.map(weightRule) });
    return store === 'sparse' ? storeSparse(pruned) : pruned;
  },
  calibration: calibrationOf,
  runsJobs: true,
};
