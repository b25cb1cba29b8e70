/** A job of batch inference: a stretch of lines of the input, the model, and where results go. */
import type { SharedPath } from './shared-roots.js';

/** What a model is run as. */
export const batchTasks = ['raw', 'text-generation', 'text-classification', 'sentence-similarity'] as const;
export type BatchTask = (typeof batchTasks)[number];

/** Whole lines of a file. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
  /** Number of its first row. */
  readonly row: number;
  readonly rows: number;
  readonly sha256: string;
}

export interface BatchJobSpec extends Stretch {
  readonly input: SharedPath;
  readonly model: SharedPath;
  /** Changes with the files of the model. */
  readonly modelKey: string;
  readonly task: BatchTask;
  readonly options: RowOptions;
  /** Folder of results. */
  readonly pieces: SharedPath;
}

export interface RowOptions {
  readonly variant?: string;
  readonly maxNewTokens?: number;
  readonly temperature?: number;
  readonly seed?: number;
  readonly topK?: number;
  readonly truncate?: boolean;
}

/** A file of results, under its hash. */
export interface Piece {
  readonly sha256: string;
  readonly bytes: number;
  readonly rows: number;
  /** Rows whose record is an error. */
  readonly failed: number;
}
