/** What a queue of jobs is, whether it stands in this process or on a broker; one suite of tests holds both to it. */
import { PenjingError } from '@penjing/core';
import type { JobFailure, JobSpec, Json, Outcome } from './job.js';

/**
 * Every job is delivered at least once, in no promised order, until it has an outcome; an outcome is decided once. A delivery that
 * shows no sign of life for `ackWait` is given to another worker. After `mostDeliveries` that began and gave no result a job is dead,
 * with the reason; what was given back, or was lost before it began, does not count. While a broker is away calls try again until their
 * signal fires, whose reason they throw, or the queue is disposed, which is `E_DISPOSED`.
 */
export interface WorkQueue extends AsyncDisposable {
  /** Milliseconds. */
  readonly ackWait: number;
  /** Opens a run, also one that was cancelled. `keep` leaves what is waiting and decided of it, for a run that goes on. */
  begin(run: string, options?: { readonly keep?: boolean } & Until): Promise<void>;
  /** Throws `E_CANCELLED` for a run that was cancelled, `E_LIMIT` for a job that is too large. A job that is known is not added again. */
  publish(run: string, job: JobSpec, until?: Until): Promise<Published>;
  /** Waits for jobs; gives those that are there, at most `max`. Empty only when the signal fires, which is no error. Several may wait at a time. */
  take(options: { readonly max: number } & Until): Promise<readonly TakenJob[]>;
  outcome(run: string, id: string, until?: Until): Promise<Outcome | undefined>;
  /** Calls with every outcome decided from now on; some may be missed where the broker was away (`outcome` tells). */
  watch(run: string, onOutcome: (outcome: Outcome) => void, until?: Until): Promise<AsyncDisposable>;
  /** Deletes what is known of one job, so that it can be published again: its result was damaged. */
  redo(run: string, id: string, until?: Until): Promise<void>;
  /** Deletes the jobs that wait and tells the workers that have some. */
  cancel(run: string, until?: Until): Promise<void>;
  /** Deletes all that is known of a run, once its outcomes are not needed. */
  forget(run: string, until?: Until): Promise<void>;
  /** Of all runs. */
  counts(): Promise<JobCounts>;
}

export interface Until {
  readonly signal?: AbortSignal | undefined;
}

export interface Published {
  readonly id: string;
  /** The job was there already. */
  readonly duplicate: boolean;
}

export interface JobCounts {
  readonly waiting: number;
  readonly running: number;
}

/** A delivery. `complete`, `fail` or `giveBack` ends it, and is harmless when the delivery was given to another meanwhile. */
export interface TakenJob extends JobSpec {
  readonly run: string;
  readonly id: string;
  /** 1 for the first that begins. */
  readonly delivery: number;
  /** Fires when its run is cancelled. */
  readonly signal: AbortSignal;
  /** To be said before it is worked on: from here on the delivery counts, also when its worker is lost. Never throws; takes a moment at most. */
  begin(): Promise<void>;
  /** Shows that its worker is there. */
  working(): void;
  /** Commits the result; false when the job had an outcome already. */
  complete(result: Json): Promise<boolean>;
  /** It is delivered again after a while, or is dead. */
  fail(failure: JobFailure): Promise<void>;
  /** Somebody else may have it at once, and the delivery does not count. */
  giveBack(): Promise<void>;
}

/** Deliveries of a job without a result after which it is dead. */
export const MOST_DELIVERIES = 5;
export const ACK_WAIT_MS = 30_000;

/** Milliseconds before a job that failed is delivered again: what failed for want of disk or memory may pass. */
export function retryDelay(delivery: number): number {
  return Math.min(5_000, 50 * 4 ** (delivery - 1));
}

/** What a job died of that was never answered: the workers that had it were lost. */
export function lostFailure(deliveries: number): JobFailure {
  return { code: 'E_WORKER', message: `${deliveries} workers were lost while they ran it`, hint: 'Look at their memory and logs: the job may be what ended them.' };
}

export function cancelledRun(run: string): PenjingError {
  return new PenjingError('E_CANCELLED', `the run ${run} was cancelled`);
}

export function disposedQueue(): PenjingError {
  return new PenjingError('E_DISPOSED', 'the queue of jobs was disposed');
}
