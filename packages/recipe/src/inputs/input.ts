/** What stands at a path, whatever its format: graphs, weights, or both. One file per format implements it. */
import { type Checkpoint, type Model, PenjingError } from '@penjing/core';
import type { FormatName, ModelFolder } from '@penjing/graph-io';
import type { BuildStep } from '../steps/convert.js';
import type { Inspection, InspectOptions } from './describe.js';

export interface BuildOptions extends BuildStep {
  readonly signal?: AbortSignal | undefined;
}

export interface Input {
  /** As people call it: `Hugging Face folder`. */
  readonly format: string;
  readonly path: string;
  /** Configuration and tokenizer that belong beside the graphs. */
  readonly folder?: ModelFolder;
  /** What a conversion does not do, in sentences for the report: `its pictures are left out`. */
  readonly warnings?: readonly string[];
  /** The options of a conversion that mean something here; the others are refused when they are given. */
  readonly accepts: readonly (keyof BuildStep)[];
  /**
   * The graphs by the file names of transformers.js: `model`, or `encoder_model` and its decoder. Throws `E_FORMAT`
   * when there are weights alone, and what the readers throw.
   */
  graphs(options: BuildOptions): Promise<ReadonlyMap<string, Model>>;
  /** The weights by name, as they are stored. */
  checkpoint(options?: BuildOptions): Promise<Checkpoint>;
  /** What is in it, read without the weights. */
  inspect(options: InspectOptions): Promise<Inspection>;
}

/** One row of the table of formats; a file is recognised by its content, a folder by the names in it. */
export interface InputFormat {
  readonly files?: readonly FormatName[];
  /** `inner` are the names in the folder `onnx`. */
  readonly holds?: (names: readonly string[], inner: readonly string[]) => boolean;
  open(path: string): Promise<Input>;
}

/** What `graphs` throws where there are weights and nothing that says how they are used. */
export function weightsOnly(path: string, hint: string): PenjingError {
  return new PenjingError('E_FORMAT', `${path} has weights but no graph`, { hint });
}
