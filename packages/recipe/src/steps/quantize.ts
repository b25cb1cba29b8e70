/** The step `quantize`: weights as integers. */
import type { Pass } from '@penjing/core';
import { awqWeights, gptqWeights, quantizeWeights, type WeightOptions } from '@penjing/quantize';
import { type Calibrated, calibratedFields, calibrationOf, namesData, objectSchema, readsNoData, type StepKind, withoutData } from './step.js';
import { matching, weightRule, weightRules } from './weight-rules.js';

export interface QuantizeStep extends Calibrated {
  /** A grid of 3 bits is stored in codes of 4. */
  readonly bits?: 2 | 3 | 4 | 8;
  readonly blockSize?: 16 | 32 | 64 | 128 | 256;
  readonly symmetric?: boolean;
  /** `rtn`: each weight to the nearest value. `hqq`: on grids that forgive outliers. `awq`: inputs that matter in `data` are enlarged first. `gptq`: in the metric of the activations that `data` gives. */
  readonly method?: keyof typeof methods;
  /** Where scales come from: the range of a block, or a search for the least squared error. */
  readonly scales?: 'range' | 'squares';
  readonly format?: 'qoperator' | 'qdq';
  readonly accuracyLevel?: 0 | 1 | 2 | 3 | 4;
  readonly embeddings?: boolean;
  /** Names of weights to leave alone; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
  /** Mixed precision: what certain weights get instead; the first that matches counts. */
  readonly layers?: readonly LayerStep[];
}

/** What weights get instead; what is left out is as for the others. */
export interface LayerStep extends Pick<QuantizeStep, 'bits' | 'blockSize' | 'symmetric'> {
  /** Names; `/…/` is a regular expression. */
  readonly match: readonly string[];
  /** `none` leaves them alone. */
  readonly method?: keyof typeof methods | 'none';
}

interface Method {
  readonly pass: (options: WeightOptions) => Pass;
  /** Runs the model on `data`. */
  readonly calibrated: boolean;
}

const methods = {
  rtn: { pass: quantizeWeights, calibrated: false },
  hqq: { pass: (options) => quantizeWeights({ ...options, method: 'hqq' }), calibrated: false },
  awq: { pass: awqWeights, calibrated: true },
  gptq: { pass: gptqWeights, calibrated: true },
} as const satisfies Record<string, Method>;

const schemeFields = {
  bits: { enum: [2, 3, 4, 8] },
  blockSize: { enum: [16, 32, 64, 128, 256] },
  symmetric: { type: 'boolean' },
};

export const quantizeStep: StepKind<QuantizeStep> = {
  schema: objectSchema({
    ...schemeFields,
    method: { enum: Object.keys(methods) },
    ...calibratedFields,
    format: { enum: ['qoperator', 'qdq'] },
    accuracyLevel: { enum: [0, 1, 2, 3, 4] },
    embeddings: { type: 'boolean' },
    exclude: weightRules,
    scales: { enum: ['range', 'squares'] },
    layers: { type: 'array', items: objectSchema({ match: weightRules, ...schemeFields, method: { enum: [...Object.keys(methods), 'none'] } }, ['match']) },
  }),
  pass(step) {
    const { method = 'rtn', exclude = [], layers, ...options } = withoutData(step);
    const { pass, calibrated } = methods[method];
    if (!calibrated && namesData(step)) {
      throw readsNoData(method, 'Choose --method awq or gptq');
    }
    return pass({ ...options, exclude: exclude.map(weightRule), ...(layers && { layers: layers.map(matching) }) });
  },
  calibration: calibrationOf,
  stored: ({ bits = 4 }) => ({ bits: bits === 3 ? 4 : bits }),
};
