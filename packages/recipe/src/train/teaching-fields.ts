/** Fields of the step that distils: who teaches, and what counts how much. */
import { type TrainingFields, trainingFields } from './training-fields.js';

export interface LossWeights {
  /** T² KL(teacher ‖ student) of the logits at a temperature. */
  readonly soft: number;
  readonly temperature: number;
  /** Cross-entropy of the labels, or of the tokens that follow. */
  readonly hard: number;
  /** Between what goes out of layers: squared differences, or the angle; where widths differ, through a projection that is learned. */
  readonly hidden: number;
  readonly hiddenBy: 'squares' | 'cosine';
  readonly layers: 'last' | 'all';
  /** Squared differences of maps of attention. */
  readonly attention: number;
}

/**
 * `hinton`: Hinton, Vinyals and Dean 2015 (arXiv:1503.02531), with the weights that became usual. `distilbert`: Sanh et al. 2019 (arXiv:1910.01108), 5 : 2 : 1. `tinybert`: Jiao et al. 2020
 * (arXiv:1909.10351), all layers and maps at once. `minitron`: Muralidharan et al. 2024 (arXiv:2407.14679), the logits alone.
 */
export const presets = {
  hinton: { soft: 0.9, temperature: 2, hard: 0.1, hidden: 0, hiddenBy: 'squares', layers: 'last', attention: 0 },
  distilbert: { soft: 5, temperature: 2, hard: 2, hidden: 1, hiddenBy: 'cosine', layers: 'last', attention: 0 },
  tinybert: { soft: 1, temperature: 1, hard: 0, hidden: 1, hiddenBy: 'squares', layers: 'all', attention: 1 },
  minitron: { soft: 1, temperature: 1, hard: 0, hidden: 0, hiddenBy: 'squares', layers: 'last', attention: 0 },
} as const satisfies Record<string, LossWeights>;

export interface TeachingFields extends TrainingFields, Partial<Pick<LossWeights, 'soft' | 'temperature' | 'hard' | 'hidden' | 'attention'>> {
  /** Models whose answers are averaged. */
  readonly teachers: readonly string[];
  /** `hinton` when absent; single weights win. */
  readonly preset?: keyof typeof presets;
  /** Asks the teacher once for each sample, and keeps the answers in the work folder. */
  readonly cacheTeacher?: boolean;
}

const weight = { type: 'number', minimum: 0 };

export const teachingFields = {
  teachers: { type: 'array', minItems: 1, items: { type: 'string', minLength: 1 } },
  preset: { enum: Object.keys(presets) },
  temperature: { type: 'number', exclusiveMinimum: 0 },
  soft: weight,
  hard: weight,
  hidden: weight,
  attention: weight,
  cacheTeacher: { type: 'boolean' },
  ...trainingFields,
} as const;
