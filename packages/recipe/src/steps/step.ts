/** What a kind of step is: its options as JSON schema, and what it does to a model. One file per step implements it. */
import { type Pass, PenjingError } from '@penjing/core';
import type { GradientExchange } from '@penjing/distill';
import type { Normalisation } from '../feeds/picture-feeds.js';

export interface StepKind<Options> {
  /** JSON schema (draft 2020-12) of the options. */
  readonly schema: object;
  /** The pass it stands for; absent for the step that says how the model is built. Throws `E_OPTION` for options that contradict each other. */
  readonly pass?: (options: Options, target: StepTarget) => Pass;
  /** The data it is calibrated with; undefined when it reads none. Every step has its own. */
  readonly calibration?: (options: Options) => Calibration | undefined;
  /** How weights are stored after it: variants of a model are named so. */
  readonly stored?: (options: Options) => StoredAs;
  /** On how many random inputs the result is to be compared with the model as it was built. */
  readonly check?: (options: Options) => number | undefined;
  /** Runs parts of the graph when there is an engine to run them. */
  readonly runsGraph?: boolean;
  /** Computes in jobs, whether or not it reads data. */
  readonly runsJobs?: boolean;
}

/** What the result is written as. */
export interface StepTarget {
  /** `onnx`, `tflite` … */
  readonly format: string;
  /** The run that the step is part of; absent where steps are only checked. */
  readonly run?: StepRun | undefined;
}

/** What a step that trains needs of its run. */
export interface StepRun {
  /** Whose tokenizer reads text. */
  readonly input: { readonly path: string };
  /** In the work folder, for this step and graph alone: what lies in it is found by a run that goes on. None when the run cannot go on. */
  readonly folder: string | undefined;
  /** Other processes that train the same. */
  readonly exchange?: GradientExchange | undefined;
  readonly onNote: (text: string) => void;
  readonly onTrained: (training: Training) => void;
}

/** How a training went. */
export interface Training {
  /** `finetune` or `distill`. */
  readonly step: string;
  /** Loss and rate by step. */
  readonly losses: readonly number[];
  readonly rates: readonly number[];
  readonly validations: readonly { readonly step: number; readonly loss: number; readonly metrics: Readonly<Record<string, number>> }[];
  /** Of the weights that were kept. */
  readonly best?: { readonly step: number; readonly loss: number } | undefined;
  readonly reason: string;
  readonly resumedAt?: number | undefined;
  readonly seconds: number;
  /** What was counted, samples or tokens, and how many of it. */
  readonly unit: string;
  readonly seen: number;
  readonly perEpoch: number;
}

export interface Calibration extends Normalisation {
  /** What a reader of `--data` takes. */
  readonly data: string;
  readonly samples: number | undefined;
  readonly columns: readonly string[] | undefined;
  readonly leaveOut: number | undefined;
  readonly cache: string | undefined;
}

export interface StoredAs {
  /** Weights and computation in half precision. */
  readonly half?: boolean;
  /** Integers of so many bits. */
  readonly bits?: number;
  readonly dtype?: 'float16' | 'bfloat16';
}

/** Fields of a step that may be calibrated. */
export interface Calibrated extends Normalisation {
  /** What to calibrate with: whatever `openData` reads, or `random:N` to try things out. */
  readonly data?: string;
  /** How many samples of it; 128 when absent. */
  readonly samples?: number;
  /** Columns of a table. */
  readonly columns?: readonly string[];
  /** Leaves out every so-manieth sample, which is then good for judging the result. */
  readonly leaveOut?: number;
  /** A file of statistics: those that fit the model, the samples and the method are taken from it, others are gathered and added. */
  readonly cache?: string;
}

const numbers = { type: 'array', items: { type: 'number' }, minItems: 1 };

export const calibratedFields = {
  data: { type: 'string', minLength: 1 },
  samples: { type: 'integer', minimum: 1 },
  columns: { type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1 },
  leaveOut: { type: 'integer', minimum: 2 },
  cache: { type: 'string', minLength: 1 },
  scale: { type: 'number' },
  mean: numbers,
  std: { ...numbers, items: { type: 'number', exclusiveMinimum: 0 } },
} as const;

export function calibrationOf({ data, samples, columns, leaveOut, cache, scale, mean, std }: Calibrated): Calibration | undefined {
  return data === undefined ? undefined : { data, samples, columns, leaveOut, cache, scale, mean, std };
}

/** The options of the pass: those of the step that do not say what it is calibrated with. */
export function withoutData<Step extends Calibrated>({ data: _data, samples: _samples, columns: _columns, leaveOut: _leaveOut, cache: _cache, scale: _scale, mean: _mean, std: _std, ...options }: Step): Omit<Step, keyof Calibrated> {
  return options;
}

/** True when it names data, or says how to read it. */
export function namesData(step: Calibrated): boolean {
  return (Object.keys(calibratedFields) as (keyof Calibrated)[]).some((field) => step[field] !== undefined);
}

/** To be thrown when a method that looks at weights alone is told about data. */
export function readsNoData(method: string, instead: string): PenjingError {
  return new PenjingError('E_OPTION', `${method} reads no data`, { hint: `${instead}, or leave out what is said about data (--data, --samples, --cache).` });
}

/** An object with these fields and no others. */
export function objectSchema(properties: object, required: readonly string[] = []): object {
  return { type: 'object', additionalProperties: false, properties, required };
}
