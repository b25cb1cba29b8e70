/** Fields of the steps that train: how long, how fast, on what, which weights. */
import { PenjingError } from '@penjing/core';
import type { OptimizerPlan, SchedulePlan } from '@penjing/distill';
import type { Normalisation } from '../feeds/picture-feeds.js';
import { calibratedFields } from '../steps/step.js';
import { weightRules } from '../steps/weight-rules.js';

export interface TrainingFields extends Normalisation {
  /** What to learn from: text, or samples with classes. */
  readonly data: string;
  /** What is measured on; every `leaveOut`th sample of the data when absent. */
  readonly validation?: string;
  /** 20 when absent; 0 measures on nothing. */
  readonly leaveOut?: number;
  readonly columns?: readonly string[];
  /** Tokens of a window of text (256 when absent), or the most of a text with a class (128). */
  readonly length?: number;
  /** 8 windows of text, or 32 samples, when absent. */
  readonly batch?: number;
  readonly accumulate?: number;
  /** That share each batch and average their gradients, each with its share of the threads; 1 when absent. */
  readonly engines?: number;
  /** Computes what lies between blocks twice instead of holding it. */
  readonly recompute?: boolean;
  readonly steps?: number;
  readonly epochs?: number;
  readonly minutes?: number;
  readonly optimizer?: OptimizerPlan['name'];
  /** The highest rate; 5e-4 when absent, a tenth of it for lion, 2e-3 for muon, 0.02 for muon from scratch. */
  readonly rate?: number;
  /** With muon: the highest rate of AdamW, which trains embeddings, first and last layers and vectors; 0.15 of `rate` when absent. */
  readonly adamwRate?: number;
  readonly schedule?: SchedulePlan['name'];
  /** Steps; a twentieth of the run, or 20, when absent. */
  readonly warmup?: number;
  /** 0.01 when absent; vectors do not decay. */
  readonly weightDecay?: number;
  /** Memory of adamw, beside muon too (0.9 and 0.95 when absent), and of lion (0.9 and 0.99). */
  readonly betas?: readonly number[];
  /** Of sgd (0.9 when absent) and muon (0.95). */
  readonly momentum?: number;
  /** Limit of the norm of the gradients; 1 when absent, 0 for none. */
  readonly clip?: number;
  /** Share of what is added to residual streams, and of embeddings, that each step drops. */
  readonly dropout?: number;
  /** Memory of a moving average of the weights, which then is the result. */
  readonly average?: number;
  readonly validateEvery?: number;
  readonly patience?: number;
  readonly checkpointEvery?: number;
  /** Names of weights to train, all when absent; `/…/` is a regular expression. */
  readonly trainable?: readonly string[];
  readonly exclude?: readonly string[];
  /** Whether zeros of pruned weights stay zeros; they do when absent. */
  readonly zeros?: 'hold' | 'train';
  /** What batch normalization goes by: `stored` statistics, which stay, or those of the `batch`, which move the stored ones; `batch` from scratch, `stored` otherwise, when absent. */
  readonly statistics?: 'stored' | 'batch';
  /** Begins with random weights. */
  readonly scratch?: boolean;
  /** Trains adapters of this rank beside frozen weights instead (LoRA), which are merged into them afterwards; beside integers they stay. */
  readonly lora?: number;
  /** Adapters count alpha / rank times; twice the rank when absent. */
  readonly loraAlpha?: number;
  /** Names of the matrices that get adapters, all when absent; `/…/` is a regular expression. */
  readonly loraTargets?: readonly string[];
  /** A folder for the adapters as PEFT stores them. */
  readonly adapter?: string;
}

// as the tables of the distill package, which is loaded when something is trained only; a test compares
export const optimizers = ['adamw', 'sgd', 'lion', 'muon'] as const satisfies readonly OptimizerPlan['name'][];
export const schedules = ['cosine', 'linear', 'constant'] as const satisfies readonly SchedulePlan['name'][];

const count = { type: 'integer', minimum: 1 };

export const trainingFields = {
  data: { type: 'string', minLength: 1 },
  validation: { type: 'string', minLength: 1 },
  leaveOut: { type: 'integer', minimum: 0 },
  columns: calibratedFields.columns,
  scale: calibratedFields.scale,
  mean: calibratedFields.mean,
  std: calibratedFields.std,
  length: { type: 'integer', minimum: 2 },
  batch: count,
  accumulate: count,
  engines: { type: 'integer', minimum: 1, maximum: 64 },
  recompute: { type: 'boolean' },
  steps: count,
  epochs: { type: 'number', exclusiveMinimum: 0 },
  minutes: { type: 'number', exclusiveMinimum: 0 },
  optimizer: { enum: optimizers },
  rate: { type: 'number', exclusiveMinimum: 0 },
  adamwRate: { type: 'number', exclusiveMinimum: 0 },
  schedule: { enum: schedules },
  warmup: { type: 'integer', minimum: 0 },
  weightDecay: { type: 'number', minimum: 0 },
  betas: { type: 'array', items: { type: 'number', minimum: 0, exclusiveMaximum: 1 }, minItems: 2, maxItems: 2 },
  momentum: { type: 'number', minimum: 0, exclusiveMaximum: 1 },
  clip: { type: 'number', minimum: 0 },
  dropout: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
  average: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
  validateEvery: count,
  patience: count,
  checkpointEvery: count,
  trainable: weightRules,
  exclude: weightRules,
  zeros: { enum: ['hold', 'train'] },
  statistics: { enum: ['stored', 'batch'] },
  scratch: { type: 'boolean' },
  lora: count,
  loraAlpha: { type: 'number', exclusiveMinimum: 0 },
  loraTargets: weightRules,
  adapter: { type: 'string', minLength: 1 },
} as const;

/** Throws `E_OPTION` for a training that never ends, and for fields that would be ignored beside others. */
export function checkTraining(fields: TrainingFields): void {
  const { steps, epochs, minutes, leaveOut } = fields;
  if (steps === undefined && epochs === undefined && minutes === undefined) throw new PenjingError('E_OPTION', 'how long to train is not said', { hint: 'Give steps, epochs or minutes.' });
  if (leaveOut === 1) throw new PenjingError('E_OPTION', 'leaveOut 1 leaves every sample out: nothing is left to learn from', { hint: 'Give 2 or more, or 0 to measure on nothing.' });
  const [ignored, because] = Object.entries(idle).flatMap(([reason, { when, what }]) => (when(fields) ? what.filter((name) => fields[name] !== undefined).map((name) => [name, reason] as const) : []))[0] ?? [];
  if (ignored !== undefined) throw new PenjingError('E_OPTION', `${ignored} means nothing ${because}`, { hint: 'Leave out one of them.' });
}

/** Fields that say nothing where another one is as it is. */
const idle: Readonly<Record<string, { readonly when: (fields: TrainingFields) => boolean; readonly what: readonly (keyof TrainingFields)[] }>> = {
  'beside validation': { when: ({ validation }) => validation !== undefined, what: ['leaveOut'] },
  'where nothing is measured (leaveOut 0)': { when: ({ validation, leaveOut }) => validation === undefined && leaveOut === 0, what: ['patience', 'validateEvery'] },
  'to optimizers other than muon': { when: ({ optimizer }) => optimizer !== 'muon', what: ['adamwRate'] },
  'to optimizers other than sgd and muon': { when: ({ optimizer }) => optimizer !== 'sgd' && optimizer !== 'muon', what: ['momentum'] },
  'to sgd': { when: ({ optimizer }) => optimizer === 'sgd', what: ['betas'] },
  'for random weights (scratch)': { when: ({ scratch }) => scratch === true, what: ['zeros'] },
};
