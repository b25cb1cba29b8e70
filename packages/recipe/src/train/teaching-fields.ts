/** Fields of the step that distils: who teaches, and what counts how much. */
import { PenjingError } from '@penjing/core';
import { checkTraining, type TrainingFields, trainingFields } from './training-fields.js';

export interface LossWeights {
  /** T² KL(teacher ‖ student) of the logits at a temperature. */
  readonly soft: number;
  readonly temperature: number;
  /** Cross-entropy of the labels, or of the tokens that follow. */
  readonly hard: number;
  /** Between hidden states: squared differences, those as a share of the teacher's squares, or the angle; where widths differ, through a projection that is learned. */
  readonly hidden: number;
  readonly hiddenBy: 'squares' | 'relative' | 'cosine';
  /** What goes out of the last layer or of all, or what the head of a language model reads: behind the last norm. */
  readonly layers: 'last' | 'all' | 'head';
  /** Squared differences of maps of attention. */
  readonly attention: number;
}

/**
 * `hinton`: Hinton, Vinyals and Dean 2015 (arXiv:1503.02531), with the weights that became usual. `distilbert`: Sanh et al. 2019 (arXiv:1910.01108), 5 : 2 : 1. `tinybert`: Jiao et al. 2020
 * (arXiv:1909.10351), all layers and maps at once. `minitron`: Muralidharan et al. 2024 (arXiv:2407.14679), the logits alone. `states`: the labels, and what the head reads; the head itself
 * can stay as it is. Of 68 lessons tried on a language model that lost half of its layers it left the smallest loss in the same time (docs/training.md).
 */
export const presets = {
  hinton: { soft: 0.9, temperature: 2, hard: 0.1, hidden: 0, hiddenBy: 'squares', layers: 'last', attention: 0 },
  distilbert: { soft: 5, temperature: 2, hard: 2, hidden: 1, hiddenBy: 'cosine', layers: 'last', attention: 0 },
  tinybert: { soft: 1, temperature: 1, hard: 0, hidden: 1, hiddenBy: 'squares', layers: 'all', attention: 1 },
  states: { soft: 0, temperature: 1, hard: 1, hidden: 5, hiddenBy: 'relative', layers: 'head', attention: 0 },
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

/** The preset with what was chosen otherwise. */
export function lossWeights({ preset = 'hinton', soft, hard, hidden, attention, temperature }: TeachingFields): LossWeights {
  const given = Object.fromEntries(Object.entries({ soft, hard, hidden, attention, temperature }).filter(([, value]) => value !== undefined));
  return { ...presets[preset], ...given };
}

/** As `checkTraining`, with losses of no weight, and what is said about a teacher whom nobody asks. */
export function checkTeaching(fields: TeachingFields): void {
  checkTraining(fields);
  const { soft, hard, hidden, attention } = lossWeights(fields);
  if (soft + hard + hidden + attention <= 0) throw new PenjingError('E_OPTION', 'all losses of the lesson have no weight', { hint: 'Give --soft, --hard, --hidden or --attention above 0.' });
  if (soft === 0 && fields.temperature !== undefined) throw new PenjingError('E_OPTION', 'temperature means nothing where the probabilities of the teacher do not count (soft 0)', { hint: 'Leave it out, or give soft above 0.' });
  if (soft + hidden + attention === 0 && fields.cacheTeacher) throw new PenjingError('E_OPTION', 'cacheTeacher means nothing where the teacher is not asked: labels alone count', { hint: 'Leave it out.' });
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
