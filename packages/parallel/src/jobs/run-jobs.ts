/** The side that wants something done: publishes jobs as others are finished, and hears what became of each. */
import { isPenjingError, PenjingError, untilAborted } from '@penjing/core';
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

/** For a broker that is away when a run is cancelled: it keeps the jobs, and a run that goes on finds their results. */
const CANCEL_MS = 2_000;

/**
 * Calls `onOutcome` once per job, in no order; what it returns is waited for before the run ends, and `'redo'` has the job done again.
 * Jobs that died in an earlier run are tried again. The outcomes stay until `queue.forget(run)`. When the signal fires the run is cancelled and its reason thrown, whatever `jobs`,
 * `onOutcome` or a broker keep waiting for.
 */
export async function runJobs<Job extends JobSpec>(
  queue: WorkQueue, run: string, jobs: Iterable<Job> | AsyncIterable<Job>, onOutcome: (outcome: Outcome, job: Job) => void | 'redo' | Promise<void | 'redo'>, { window = 512, keep = false, signal, look = 3_000 }: RunJobsOptions = {},
): Promise<void> {
  signal?.throwIfAborted();
  const open = new Map<string, Job>();
  const hearing = new Set<Promise<void>>();
  const failing = new AbortController();
  const until = { signal: failing.signal };
  let wake = (): void => {};
  const fail = (error: unknown): void => {
    failing.abort(error);
    wake();
  };
  const abort = (): void => fail(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });

  const hear = (outcome: Outcome): void => {
    const job = open.get(outcome.id);
    if (!job || until.signal.aborted) return;
    open.delete(outcome.id);
    const heard = (async () => {
      if ((await onOutcome(outcome, job)) === 'redo') {
        await queue.redo(run, outcome.id, until);
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
    while (open.has(id) && (await queue.publish(run, job, until)).duplicate && !(await queue.outcome(run, id, until))) await new Promise((resolve) => setTimeout(resolve, 50));
  };

  /** News may be lost while a broker is away, and jobs with a broker; the record and this list are not. */
  const lookFor = async (ids: Iterable<string>): Promise<void> => {
    for (const id of ids) {
      const outcome = await queue.outcome(run, id, until);
      const job = open.get(id);
      if (outcome) hear(outcome);
      else if (job) await queue.publish(run, job, until);
    }
  };

  /** Waits for news; looks at the record when there were none for a while, and only then: what moves would be published again as it ends. */
  const news = async (): Promise<void> => {
    const quiet = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(true), look);
      wake = () => {
        clearTimeout(timer);
        resolve(false);
      };
      if (until.signal.aborted) wake();
    });
    until.signal.throwIfAborted();
    if (!quiet) return;
    await lookFor([...open.keys()].slice(0, 512)).catch((error: unknown) => {
      // A server that has just started may not know its streams yet; the next look will tell.
      if (until.signal.aborted || isPenjingError(error)) throw error;
    });
  };

  const add = async (job: Job): Promise<void> => {
    const id = await jobId(job);
    if (open.has(id)) throw new PenjingError('E_INTERNAL', `two jobs of ${run} are the same`);
    open.set(id, job);
    const { duplicate } = await queue.publish(run, job, until);
    const outcome = duplicate && (await queue.outcome(run, id, until));
    if (outcome && outcome.state === 'dead') {
      // It died in an earlier run: whoever goes on has mended what it died of.
      await queue.redo(run, id, until);
      await publishAgain(id, job);
    } else if (outcome) hear(outcome);
  };

  let watching: AsyncDisposable | undefined;
  try {
    await queue.begin(run, { keep, ...until });
    watching = await queue.watch(run, hear, until);
    // Publishing waits for the disk of the broker; several wait at a time.
    const adding = new Set<Promise<void>>();
    for await (const job of eachUntilAborted(jobs, until.signal)) {
      const one = add(job).catch(fail).finally(() => adding.delete(one));
      adding.add(one);
      if (adding.size >= 32) await untilAborted(Promise.race(adding), until.signal);
      while (open.size >= window) await news();
    }
    await untilAborted(Promise.all(adding), until.signal);
    while (open.size > 0 || hearing.size > 0) await news();
    until.signal.throwIfAborted();
  } catch (error) {
    fail(error);
    // Nobody is left to hear of them.
    await queue.cancel(run, { signal: AbortSignal.timeout(CANCEL_MS) }).catch(() => {});
    throw until.signal.reason;
  } finally {
    signal?.removeEventListener('abort', abort);
    await watching?.[Symbol.asyncDispose]();
  }
}

/** Throws the reason of the signal, also while the next is waited for: it may never come. */
async function* eachUntilAborted<T>(items: Iterable<T> | AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator: Iterator<T> | AsyncIterator<T> = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let ended = false;
  try {
    for (;;) {
      const next = await untilAborted(Promise.resolve(iterator.next()), signal);
      ended = next.done === true;
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // Not waited for: a generator that waits closes when its wait is over.
    if (!ended) void (async () => iterator.return?.())().catch(() => {});
  }
}
