/** What a kind of step is: its options as JSON schema, and what it does to a model. One file per step implements it. */
import type { Pass } from '@penjing/core';

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
}

export interface Calibration {
  /** What a reader of `--data` takes. */
  readonly data: string;
  readonly samples: number | undefined;
}

export interface StoredAs {
  /** Weights and computation in half precision. */
  readonly half?: boolean;
  /** Integers of so many bits. */
  readonly bits?: number;
  readonly dtype?: 'float16' | 'bfloat16';
}

/** Fields of a step that may be calibrated. */
export interface Calibrated {
  /** What to calibrate with: text for language models. */
  readonly data?: string;
  /** How many samples of it; 128 when absent. */
  readonly samples?: number;
}

export const calibratedFields = { data: { type: 'string', minLength: 1 }, samples: { type: 'integer', minimum: 1 } } as const;

export function calibrationOf({ data, samples }: Calibrated): Calibration | undefined {
  return data === undefined ? undefined : { data, samples };
}

/** An object with these fields and no others. */
export function objectSchema(properties: object, required: readonly string[] = []): object {
  return { type: 'object', additionalProperties: false, properties, required };
}
