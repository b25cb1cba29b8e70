/** What a result is written as; one file per format implements it. */
import type { Checkpoint, Model } from '@penjing/core';
import type { FileLayout } from '@penjing/graph-io';
import type { Pool } from '@penjing/graph-io/node';
import type { Input } from '../inputs/input.js';
import type { BuildStep, WriteStep } from '../steps/convert.js';
import type { RecipeStep } from '../steps/steps.js';

export type OutputName = NonNullable<WriteStep['to']>;

export interface GraphOutputOptions {
  /** Name of the file, relative to the folder it goes to. */
  readonly name: string;
  readonly externalData: 'auto' | 'always' | 'never';
  readonly write: WriteStep;
  readonly signal?: AbortSignal | undefined;
  /** Threads of the run, where it has some already. */
  readonly pool?: Pool | undefined;
}

interface Output {
  readonly name: OutputName;
  readonly extension: string;
  /** The options of writing that mean something here; the others are refused when they are given. */
  readonly accepts: readonly (keyof WriteStep)[];
  /** How graphs are built for it where the user does not say. */
  readonly prefers?: BuildStep;
}

/** Written from graphs: a file per graph, the first layout being the file itself. */
export interface GraphOutput extends Output {
  readonly kind: 'graph';
  layouts(model: Model, options: GraphOutputOptions): Promise<readonly FileLayout[]>;
}

/** Written from named weights: no graph is needed. */
export interface WeightsOutput extends Output {
  readonly kind: 'weights';
  /** Throws `E_OPTION` for steps that this format has no form for. */
  layouts(checkpoint: Checkpoint, options: WeightsOutputOptions): Promise<WeightFiles>;
}

export interface WeightFiles {
  readonly files: readonly FileLayout[];
  /** How weights were rounded, for their records; absent when nothing was. `bits` are those stored per weight in its own tensor. */
  readonly rounding?: { readonly method: string; readonly bits: number };
}

export interface WeightsOutputOptions {
  readonly name: string;
  readonly input: Input;
  readonly write: WriteStep;
  readonly steps: readonly RecipeStep[];
}

export type OutputFormat = GraphOutput | WeightsOutput;
