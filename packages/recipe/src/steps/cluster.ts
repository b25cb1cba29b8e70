/** The step `cluster`: weights as places in a codebook. */
import { clusterBySensitivity, type ClusterOptions, clusterWeights } from '@penjing/compress';
import type { Pass } from '@penjing/core';
import { type Calibrated, calibratedFields, calibrationOf, namesData, objectSchema, readsNoData, type StepKind, withoutData } from './step.js';
import { matching, weightRule, weightRules } from './weight-rules.js';

export interface ClusterStep extends Calibrated {
  /** Bits of a place: a codebook has 2 to the power of it entries. */
  readonly bits?: number;
  /** `kmeans`: every weight counts the same. `sensitivity`: as much as its input is active on `data`. */
  readonly method?: keyof typeof methods;
  /** Outputs that share a codebook; all of a weight when absent. */
  readonly outputs?: number;
  readonly embeddings?: boolean;
  /** Names of weights to leave alone; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
  /** What certain weights get instead; the first that matches counts. */
  readonly layers?: readonly { readonly match: readonly string[]; readonly bits?: number; readonly method?: 'none' }[];
}

interface Method {
  readonly pass: (options: ClusterOptions) => Pass;
  /** Runs the model on `data`. */
  readonly calibrated: boolean;
}

const methods = {
  kmeans: { pass: clusterWeights, calibrated: false },
  sensitivity: { pass: clusterBySensitivity, calibrated: true },
} as const satisfies Record<string, Method>;

export const clusterStep: StepKind<ClusterStep> = {
  schema: objectSchema({
    bits: { type: 'integer', minimum: 1, maximum: 8 },
    method: { enum: Object.keys(methods) },
    outputs: { type: 'integer', minimum: 1 },
    ...calibratedFields,
    embeddings: { type: 'boolean' },
    exclude: weightRules,
    layers: { type: 'array', items: objectSchema({ match: weightRules, bits: { type: 'integer', minimum: 1, maximum: 8 }, method: { enum: ['none'] } }, ['match']) },
  }),
  pass(step) {
    const { method = 'kmeans', exclude = [], layers = [], ...options } = withoutData(step);
    const { pass, calibrated } = methods[method];
    if (!calibrated && namesData(step)) {
      throw readsNoData(method, 'Choose --method sensitivity');
    }
    return pass({ ...options, exclude: exclude.map(weightRule), layers: layers.map(matching) });
  },
  calibration: calibrationOf,
  runsJobs: true,
};
