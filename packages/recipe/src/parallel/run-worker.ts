/** A worker of a fleet: takes jobs for the handlers it has, until it is told to end. */
import { availableParallelism } from 'node:os';
import { PenjingError } from '@penjing/core';
import { type Json, type TakenJob, type WorkEvent, workOn, type WorkQueue } from '@penjing/parallel';
import type { Handler } from './handler.js';
import { handlerNames, openHandler } from './handlers.js';
import type { SharedRoots } from './shared-roots.js';

export interface RunWorkerOptions {
  readonly queue: WorkQueue;
  readonly roots: SharedRoots;
  /** Jobs at a time; a job of saving takes one thread, one of inference the threads that are left to each. The cores when absent. */
  readonly slots?: number | undefined;
  readonly threads?: number | undefined;
  /** Ends it: jobs that run are finished, others given back. */
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: (event: WorkEvent) => void;
}

export interface WorkerSummary {
  readonly done: number;
  readonly duplicates: number;
  readonly failed: number;
  readonly givenBack: number;
}

/** Handlers are opened with their first job and closed in the end. */
export async function runWorker({ queue, roots, threads = availableParallelism(), slots = threads, signal, onEvent }: RunWorkerOptions): Promise<WorkerSummary> {
  const counts = { done: 0, duplicates: 0, failed: 0, givenBack: 0 };
  const opened = new Map<string, Handler>();
  const counted = { done: 'done', duplicate: 'duplicates', failed: 'failed', givenBack: 'givenBack' } as const;
  const handle = async ({ handler: name, spec }: TakenJob, stop: AbortSignal): Promise<Json> => {
    let handler = opened.get(name);
    if (!handler) {
      handler = openHandler(name, { slots, threads });
      if (!handler) throw new PenjingError('E_NOT_FOUND', `this worker has no handler ${JSON.stringify(name)}`, { hint: `It has ${handlerNames.join(', ')}.` });
      opened.set(name, handler);
    }
    return handler.run(spec, { roots, threads: Math.max(1, Math.floor(threads / slots)), signal: stop });
  };
  try {
    await workOn(queue, handle, {
      slots,
      ...(signal && { signal }),
      onEvent(event) {
        if (event.kind in counted) counts[counted[event.kind as keyof typeof counted]]++;
        onEvent?.(event);
      },
    });
  } finally {
    await Promise.all([...opened.values()].map((handler) => handler[Symbol.asyncDispose]()));
  }
  return counts;
}
