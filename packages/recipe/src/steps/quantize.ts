/** The step `quantize`: weights as integers. */
import { type Pass, PenjingError } from '@penjing/core';
import { gptqWeights, quantizeWeights, type WeightOptions } from '@penjing/quantize';
import { type Calibrated, calibratedFields, calibrationOf, objectSchema, type StepKind } from './step.js';
import { weightRule, weightRules } from './weight-rules.js';

export interface QuantizeStep extends Calibrated {
  readonly bits?: 2 | 4 | 8;
  readonly blockSize?: 16 | 32 | 64 | 128 | 256;
  readonly symmetric?: boolean;
  /** `rtn`: each weight to the nearest value. `gptq`: in the metric of the activations that `data` gives. */
  readonly method?: keyof typeof methods;
  readonly format?: 'qoperator' | 'qdq';
  readonly accuracyLevel?: 0 | 1 | 2 | 3 | 4;
  readonly embeddings?: boolean;
  /** Names of weights to leave alone; `/…/` is a regular expression. */
  readonly exclude?: readonly string[];
}

interface Method {
  readonly pass: (options: WeightOptions) => Pass;
  /** Runs the model on `data`. */
  readonly calibrated: boolean;
}

const methods = {
  rtn: { pass: quantizeWeights, calibrated: false },
  gptq: { pass: gptqWeights, calibrated: true },
} as const satisfies Record<string, Method>;

export const quantizeStep: StepKind<QuantizeStep> = {
  schema: objectSchema({
    bits: { enum: [2, 4, 8] },
    blockSize: { enum: [16, 32, 64, 128, 256] },
    symmetric: { type: 'boolean' },
    method: { enum: Object.keys(methods) },
    ...calibratedFields,
    format: { enum: ['qoperator', 'qdq'] },
    accuracyLevel: { enum: [0, 1, 2, 3, 4] },
    embeddings: { type: 'boolean' },
    exclude: weightRules,
  }),
  pass({ method = 'rtn', data, samples, exclude = [], ...options }) {
    const { pass, calibrated } = methods[method];
    if (!calibrated && (data !== undefined || samples !== undefined)) {
      throw new PenjingError('E_OPTION', `${method} reads no data`, { hint: 'Choose --method gptq, or leave out --data and --samples.' });
    }
    return pass({ ...options, exclude: exclude.map(weightRule) });
  },
  calibration: calibrationOf,
  stored: ({ bits = 4 }) => ({ bits }),
};
