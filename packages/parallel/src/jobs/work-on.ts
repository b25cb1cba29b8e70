/** The loop of a worker: takes a few jobs more than it can run, shows that they are alive, commits what they give. */
import { failureOf, type JobFailure, type Json } from './job.js';
import type { TakenJob, WorkQueue } from './work-queue.js';

export interface WorkOptions {
  /** Jobs at the same time; 1 when absent. */
  readonly slots?: number;
  /** Jobs held beyond those that run, so that a slot never waits for the broker; as many as slots when absent. */
  readonly prefetch?: number;
  /** Ends the loop: jobs that have not begun are given back, those that run are finished within `grace`. */
  readonly signal?: AbortSignal;
  /** Milliseconds; 20 s when absent. What is not done by then is given back. */
  readonly grace?: number;
  readonly onEvent?: (event: WorkEvent) => void;
}

export type WorkEvent =
  | { readonly kind: 'started' | 'done' | 'duplicate' | 'givenBack' | 'cancelled'; readonly job: TakenJob }
  | { readonly kind: 'failed'; readonly job: TakenJob; readonly failure: JobFailure };

/** Work without end; `handle` must not block this thread, which keeps the jobs alive. */
export async function workOn(queue: WorkQueue, handle: (job: TakenJob, signal: AbortSignal) => Promise<Json>, { slots = 1, prefetch = slots, signal, grace = 20_000, onEvent }: WorkOptions = {}): Promise<void> {
  const held = new Set<TakenJob>();
  const ready: TakenJob[] = [];
  const settled = new Set<Promise<void>>();
  const hurry = new AbortController();
  let busy = 0;
  let freed = (): void => {};
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
    onEvent?.({ kind: 'started', job });
    let result: Json;
    try {
      result = await handle(job, AbortSignal.any([job.signal, hurry.signal]));
    } catch (error) {
      leaveSlot();
      if (job.signal.aborted) return void onEvent?.({ kind: 'cancelled', job });
      if (hurry.signal.aborted) return giveBack(job);
      const failure = failureOf(error);
      onEvent?.({ kind: 'failed', job, failure });
      return settle(job.fail(failure));
    }
    // The next job runs while this one is committed.
    leaveSlot();
    return settle(job.complete(result).then((first) => onEvent?.({ kind: first ? 'done' : 'duplicate', job }), (error: unknown) => {
      const failure = failureOf(error);
      onEvent?.({ kind: 'failed', job, failure });
      return job.fail(failure);
    }));
  }

  const leaveSlot = (): void => {
    busy--;
    pump();
  };

  /** The broker may be away for good; then it delivers the job again, which is harmless. */
  const settle = (done: Promise<unknown>): Promise<void> => done.then(() => {}, () => {});

  const giveBack = (job: TakenJob): Promise<void> => {
    onEvent?.({ kind: 'givenBack', job });
    return settle(job.giveBack());
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
    await Promise.all(ready.map((job) => (held.delete(job), giveBack(job))));
    const late = setTimeout(() => hurry.abort(), grace);
    await Promise.all(settled);
    clearTimeout(late);
    clearInterval(beat);
  }
}
