/** The side that wants something done: publishes jobs as others are finished, and hears what became of each. */
import { PenjingError } from '@penjing/core';
import { jobId, type JobSpec, type Outcome } from './job.js';
import type { WorkQueue } from './work-queue.js';

export interface RunJobsOptions {
  /** Jobs without an outcome at a time: what is in memory here and on the broker. 512 when absent. */
  readonly window?: number;
  /** Go on with a run of this name: jobs that have an outcome are not done again. */
  readonly keep?: boolean;
  readonly signal?: AbortSignal;
  /** Milliseconds between looks for outcomes that were not heard of; 3 s when absent. */
  readonly look?: number;
}

/**
 * Calls `onOutcome` once per job, in no order; what it returns is waited for before the run ends, and `'redo'` has the job done again.
 * The outcomes stay until `queue.forget(run)`. When the signal fires the run is cancelled and its reason thrown.
 */
export async function runJobs<Job extends JobSpec>(
  queue: WorkQueue, run: string, jobs: Iterable<Job> | AsyncIterable<Job>, onOutcome: (outcome: Outcome, job: Job) => void | 'redo' | Promise<void | 'redo'>, { window = 512, keep = false, signal, look = 3_000 }: RunJobsOptions = {},
): Promise<void> {
  signal?.throwIfAborted();
  await queue.begin(run, { keep });
  const open = new Map<string, Job>();
  const hearing = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  let wake = (): void => {};
  const fail = (error: unknown): void => {
    failure ??= { error };
    wake();
  };
  const abort = (): void => fail(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });

  const hear = (outcome: Outcome): void => {
    const job = open.get(outcome.id);
    if (!job || failure) return;
    open.delete(outcome.id);
    const heard = (async () => {
      if ((await onOutcome(outcome, job)) === 'redo') {
        await queue.redo(run, outcome.id);
        open.set(outcome.id, job);
        await publishAgain(outcome.id, job);
      }
    })().catch(fail).finally(() => {
      hearing.delete(heard);
      wake();
    });
    hearing.add(heard);
  };

  /** The answer to the delivery before may still be on its way; it would take the job with it. */
  const publishAgain = async (id: string, job: Job): Promise<void> => {
    while (!failure && open.has(id) && (await queue.publish(run, job)).duplicate && !(await queue.outcome(run, id))) await new Promise((resolve) => setTimeout(resolve, 50));
  };

  const changed = (): Promise<void> =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, look);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  /** News may be lost while a broker is away; the record is not. */
  const lookFor = async (ids: Iterable<string>): Promise<void> => {
    for (const id of ids) {
      if (failure) return;
      const outcome = await queue.outcome(run, id);
      if (outcome) hear(outcome);
    }
  };

  const add = async (job: Job): Promise<void> => {
    const id = await jobId(job);
    if (open.has(id)) throw new PenjingError('E_INTERNAL', `two jobs of ${run} are the same`);
    open.set(id, job);
    const { duplicate } = await queue.publish(run, job);
    if (duplicate) await lookFor([id]);
  };

  const watching = await queue.watch(run, hear);
  try {
    // Publishing waits for the disk of the broker; several wait at a time.
    const adding = new Set<Promise<void>>();
    for await (const job of jobs) {
      const one = add(job).catch(fail).finally(() => adding.delete(one));
      adding.add(one);
      if (adding.size >= 32) await Promise.race(adding);
      while (open.size >= window && !failure) await roomOr(changed, open, window, lookFor);
      if (failure) break;
    }
    await Promise.all(adding);
    while ((open.size > 0 || hearing.size > 0) && !failure) await roomOr(changed, open, 1, lookFor);
    await Promise.all(hearing);
    if (failure) throw failure.error;
  } catch (error) {
    // Nobody is left to hear of them. A broker that is away keeps the jobs; a run that goes on finds their results.
    await Promise.race([queue.cancel(run).catch(() => {}), new Promise((resolve) => setTimeout(resolve, 2_000))]);
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
    await watching[Symbol.asyncDispose]();
  }
}

/** Waits for news; looks at the record when there were none for a while. */
async function roomOr(changed: () => Promise<void>, open: ReadonlyMap<string, unknown>, below: number, lookFor: (ids: Iterable<string>) => Promise<void>): Promise<void> {
  const before = open.size;
  await changed();
  if (open.size === before && open.size >= below) await lookFor([...open.keys()].slice(0, 512)).catch(() => {});
}
