/** A chain of stages as one `Executor`: pieces of the batch follow each other through it, so that all stages have work. */
import type { Executor, ValueInfo } from '@penjing/core';
import { type BatchAxes, batchRows, shareRows } from '../split/batch.js';
import { runPieces } from './pieces.js';
import { openTasks, type TaskPart } from './tasks.js';

export interface MicroBatches {
  /** Pieces of a batch. */
  readonly microBatches: number;
  /** Where the batch is; without, requests stay whole, and follow each other through the stages. */
  readonly batch?: BatchAxes | undefined;
  /** Pieces begin at multiples of this many rows; 1 when absent. */
  readonly grain?: number;
}

export interface PipelineOptions extends MicroBatches {
  /** Names of values tie them together; a value that a later stage needs need not pass through those between. */
  readonly stages: readonly TaskPart[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly string[];
  /** Pieces in the stages and between them; further ones wait before the first. Twice the number of stages when absent: one that runs and one that waits for each. */
  readonly inFlight?: number;
}

/** Disposing disposes of the stages. */
export function openPipeline({ stages, inputs, outputs, inFlight = 2 * stages.length, ...pieces }: PipelineOptions): Executor {
  return inMicroBatches(openTasks({ parts: stages, inputs, outputs, inFlight }), pieces);
}

/** `flow` takes all pieces of a batch at once and bounds what is under way. */
export function inMicroBatches(flow: Executor, { microBatches, batch, grain = 1 }: MicroBatches): Executor {
  return {
    inputs: flow.inputs,
    outputs: flow.outputs,
    async run(feeds, options = {}) {
      const ranges = shareRows(batch ? batchRows(feeds, batch) : 1, batch ? microBatches : 1, grain);
      return runPieces(feeds, options, batch, ranges, (piece, each) => flow.run(piece, each));
    },
    [Symbol.asyncDispose]: () => flow[Symbol.asyncDispose](),
  };
}
