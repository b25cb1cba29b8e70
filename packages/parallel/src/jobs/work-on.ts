/** The loop of a worker: takes a few jobs more than it can run, shows that they are alive, commits what they give. */
import { failureOf, type JobFailure, type Json } from './job.js';
import { within } from './waiting.js';
import type { TakenJob, WorkQueue } from './work-queue.js';

export interface WorkOptions {
  /** Jobs at the same time; 1 when absent. */
  readonly slots?: number;
  /** Jobs held beyond those that run, so that a slot never waits for the broker; as many as slots when absent. */
  readonly prefetch?: number;
  /** Ends the loop: jobs that have not begun are given back, those that run are finished within `grace`. */
  readonly signal?: AbortSignal;
  /** Milliseconds; 20 s when absent. What is not done by then is told to stop, and given back; a handler that hears no signal is left alone. */
  readonly grace?: number;
  readonly onEvent?: (event: WorkEvent) => void;
}

export type WorkEvent =
  | { readonly kind: 'started' | 'done' | 'duplicate' | 'givenBack' | 'cancelled'; readonly job: TakenJob }
  | { readonly kind: 'failed'; readonly job: TakenJob; readonly failure: JobFailure };

/** For handlers to stop when the grace is over, and again for a broker that is away when jobs are given back. */
const LAST_MS = 1_000;

/** Work until the signal fires; `handle` must not block this thread, which keeps the jobs alive. */
export async function workOn(queue: WorkQueue, handle: (job: TakenJob, signal: AbortSignal) => Promise<Json>, { slots = 1, prefetch = slots, signal, grace = 20_000, onEvent }: WorkOptions = {}): Promise<void> {
  const held = new Set<TakenJob>();
  const ready: TakenJob[] = [];
  const settled = new Set<Promise<void>>();
  const hurry = new AbortController();
  let busy = 0;
  let ended = false;
  let freed = (): void => {};
  const wake = (): void => freed();
  signal?.addEventListener('abort', wake, { once: true });
  const beat = setInterval(() => {
    for (const job of held) job.working();
  }, queue.ackWait / 3);

  const pump = (): void => {
    while (busy < slots && !signal?.aborted) {
      const job = ready.shift();
      if (!job) return;
      busy++;
      const run = carryOut(job).finally(() => {
        settled.delete(run);
        held.delete(job);
        freed();
      });
      settled.add(run);
    }
  };

  async function carryOut(job: TakenJob): Promise<void> {
    const stop = AbortSignal.any([job.signal, hurry.signal]);
    let result: Json;
    try {
      await job.begin();
      stop.throwIfAborted();
      tell({ kind: 'started', job });
      result = await handle(job, stop);
    } catch (error) {
      leaveSlot();
      if (job.signal.aborted) return void tell({ kind: 'cancelled', job });
      if (hurry.signal.aborted) return giveBack(job);
      const failure = failureOf(error);
      tell({ kind: 'failed', job, failure });
      return settle(job.fail(failure));
    }
    // The next job runs while this one is committed.
    leaveSlot();
    return settle(job.complete(result).then((first) => tell({ kind: first ? 'done' : 'duplicate', job }), (error: unknown) => {
      const failure = failureOf(error);
      tell({ kind: 'failed', job, failure });
      return job.fail(failure);
    }));
  }

  /** A handler that was left alone has nobody to tell. */
  const tell = (event: WorkEvent): void => {
    if (!ended) onEvent?.(event);
  };

  const leaveSlot = (): void => {
    busy--;
    pump();
  };

  /** The broker may be away for good; then it delivers the job again, which is harmless. */
  const settle = (done: Promise<unknown>): Promise<void> => done.then(() => {}, () => {});

  /** Once: a handler may stop after its job was given back. */
  const giveBack = async (job: TakenJob): Promise<void> => {
    if (!held.delete(job)) return;
    tell({ kind: 'givenBack', job });
    await settle(job.giveBack());
  };

  try {
    while (!signal?.aborted) {
      const free = slots + prefetch - held.size;
      if (free <= 0) {
        await new Promise<void>((resolve) => {
          freed = resolve;
        });
        continue;
      }
      for (const job of await queue.take({ max: free, ...(signal && { signal }) })) {
        held.add(job);
        ready.push(job);
      }
      pump();
    }
  } finally {
    signal?.removeEventListener('abort', wake);
    await within(grace, [...ready.splice(0).map(giveBack), ...settled]);
    if (settled.size > 0) {
      hurry.abort();
      await within(LAST_MS, settled);
    }
    await within(LAST_MS, [...held].map(giveBack));
    clearInterval(beat);
    ended = true;
  }
}
