/** Puts single requests together into batches: dynamic batching with priorities, deadlines, fairness and a bounded queue. */
import { isPenjingError, PenjingError } from '@penjing/core';
import { Leave, type Leaving } from '../http/leaving.js';
import { type Clock, systemClock } from './clock.js';
import { FairQueue, type QueueEntry } from './fair-queue.js';
import { ServiceRate } from './service-rate.js';

export interface BatchPolicy {
  /** Rows of a batch. A single request of more runs alone. */
  readonly maxBatch: number;
  /** How long a request waits for others while a lane is free. With 0, batches form only of what comes while all lanes are busy, and nobody waits for nothing. */
  readonly maxDelayMs: number;
  /** Sizes at which a batch goes without waiting. */
  readonly preferred?: readonly number[];
  /** Batches under way at a time. */
  readonly lanes: number;
  /** Requests that wait; more are refused. */
  readonly maxQueue: number;
  /** Levels of priority, of which 0 is the most urgent. */
  readonly levels: number;
}

export interface Work<T> {
  readonly value: T;
  readonly rows: number;
  /** Work of the same bucket may run together; absent, it runs alone. */
  readonly bucket?: string | undefined;
  readonly level?: number | undefined;
  /** Who is served fairly beside others. */
  readonly client?: string | undefined;
  /** By the clock of the scheduler. */
  readonly deadline?: number | undefined;
  readonly signal?: Leaving | undefined;
}

export interface Done<R> {
  readonly result: R;
  readonly queuedMs: number;
  readonly runMs: number;
  /** Rows and requests of the batch that it ran in. */
  readonly batchRows: number;
  readonly batchRequests: number;
}

/** Runs a batch; results in the order of the values. `signal` fires when nobody waits for any of them. */
export type BatchRun<T, R> = (values: readonly T[], context: { readonly rows: number; readonly signal: Leaving | undefined }) => Promise<readonly R[]>;

interface Entry<T, R> extends QueueEntry {
  readonly work: Work<T>;
  readonly resolve: (done: Done<R>) => void;
  /** Gives it up; a second time does nothing. */
  fail(error: unknown): void;
  readonly settled: () => boolean;
  /** Called when it is given up while it runs. */
  onGone: () => void;
}

/** Rows of a more urgent level, in batches, after which a less urgent one gets its turn. */
const LEVEL_BATCHES = 16;

export class BatchScheduler<T, R> {
  readonly #run: BatchRun<T, R>;
  readonly #policy: BatchPolicy;
  readonly #clock: Clock;
  readonly #queue: FairQueue<Entry<T, R>>;
  readonly #rate = new ServiceRate();
  readonly #idle: (() => void)[] = [];
  #running = 0;
  #runningRows = 0;
  #wake: (() => void) | undefined;

  constructor(run: BatchRun<T, R>, policy: BatchPolicy, clock: Clock = systemClock) {
    this.#run = run;
    this.#policy = policy;
    this.#clock = clock;
    this.#queue = new FairQueue(policy.maxBatch * LEVEL_BATCHES);
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Batches under way. */
  get running(): number {
    return this.#running;
  }

  /** The next request would be refused. */
  get full(): boolean {
    return this.#queue.length >= this.#policy.maxQueue && (this.#running >= this.#policy.lanes || this.#queue.length > 0);
  }

  /** Seconds until what waits now is likely to be done. */
  get retryAfter(): number {
    return this.#rate.retryAfter(this.#queue.rows + this.#runningRows, this.#policy.lanes);
  }

  now(): number {
    return this.#clock.now();
  }

  /**
   * Resolves with the result of its part of a batch. Throws `E_OVERLOADED` at once when the queue is full or the deadline cannot be met at the measured rate,
   * `E_DEADLINE` when it passes, the reason of the signal when it fires (queued work leaves at once), and what the run throws.
   */
  submit(work: Work<T>): Promise<Done<R>> {
    const { signal, deadline, rows } = work;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const now = this.#clock.now();
    const refusal = this.#refuse(rows, deadline, now);
    if (refusal) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      let settled = false;
      const settle = <V>(then: (value: V) => void) => (value: V): void => {
        if (settled) return;
        settled = true;
        signal?.removeEventListener('abort', leave);
        cancelTimer?.();
        then(value);
      };
      const entry: Entry<T, R> = {
        work, rows, bucket: work.bucket, level: Math.max(0, Math.min(this.#policy.levels - 1, work.level ?? this.#policy.levels >> 1)), client: work.client ?? '', arrived: now,
        resolve: settle(resolve), fail: settle(reject), settled: () => settled, onGone: () => {},
      };
      const giveUp = (reason: unknown): void => {
        entry.fail(reason);
        if (!this.#queue.remove(entry)) entry.onGone();
        this.#checkIdle();
      };
      const leave = (): void => giveUp(signal!.reason);
      signal?.addEventListener('abort', leave, { once: true });
      const cancelTimer = deadline === undefined ? undefined : this.#clock.after(deadline - now, () => giveUp(late(now, deadline)));
      this.#queue.push(entry);
      this.#dispatch();
    });
  }

  /** Rejects all that waits; what runs goes on. */
  rejectWaiting(error: PenjingError): void {
    for (const entry of this.#queue.entries()) {
      this.#queue.remove(entry);
      entry.fail(error);
    }
    this.#checkIdle();
  }

  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void> {
    if (this.#queue.length === 0 && this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #refuse(rows: number, deadline: number | undefined, now: number): PenjingError | undefined {
    const { lanes } = this.#policy;
    const details = { retryAfter: this.retryAfter };
    if (this.full) return new PenjingError('E_OVERLOADED', `${this.#queue.length} requests wait for the model already`, { hint: 'Ask again later, or give the model a longer queue (maxQueue).', details });
    if (deadline === undefined) return undefined;
    if (deadline <= now) return late(now, deadline);
    const ahead = this.#queue.rows + this.#runningRows;
    const wait = ahead > 0 && this.#rate.known ? this.#rate.msFor(ahead + rows, lanes)! : 0;
    return now + wait > deadline ? new PenjingError('E_OVERLOADED', `it would take some ${Math.ceil(wait)} ms, and the deadline is in ${Math.ceil(deadline - now)} ms`, { hint: 'Ask again later, or with a later deadline.', details }) : undefined;
  }

  #dispatch(): void {
    this.#wake?.();
    this.#wake = undefined;
    while (this.#running < this.#policy.lanes && this.#queue.length > 0) {
      const now = this.#clock.now();
      const batch = this.#queue.take((rows, oldest) => this.#sizeOf(rows, now - oldest));
      if (batch.length === 0) {
        const due = Math.min(...this.#queue.oldest()) + this.#policy.maxDelayMs - now;
        this.#wake = this.#clock.after(Math.max(0, due), () => this.#dispatch());
        return;
      }
      void this.#runBatch(batch);
    }
  }

  /** How many rows a bucket gives now; 0 while others may still come. */
  #sizeOf(rows: number, waited: number): number {
    const { maxBatch, maxDelayMs, preferred = [] } = this.#policy;
    if (rows >= maxBatch) return maxBatch;
    const size = preferred.reduce((best, one) => (one <= rows && one > best ? one : best), 0);
    if (size > 0) return size;
    return waited >= maxDelayMs ? rows : 0;
  }

  async #runBatch(batch: readonly Entry<T, R>[]): Promise<void> {
    this.#running++;
    const rows = batch.reduce((sum, entry) => sum + entry.rows, 0);
    this.#runningRows += rows;
    const begun = this.#clock.now();
    try {
      await this.#runOnce(batch, rows, begun);
    } catch (error) {
      // One bad request must not take its neighbours with it; but what killed the model's process is not tried again.
      if (batch.length > 1 && isOfTheInput(error)) {
        for (const entry of batch) if (!entry.settled()) await this.#runOnce([entry], entry.rows, begun).catch((own: unknown) => entry.fail(own));
      } else for (const entry of batch) entry.fail(error);
    } finally {
      this.#running--;
      this.#runningRows -= rows;
      this.#dispatch();
      this.#checkIdle();
    }
  }

  async #runOnce(batch: readonly Entry<T, R>[], rows: number, begun: number): Promise<void> {
    const signal = nobodyWaits(batch);
    const started = this.#clock.now();
    const results = await this.#run(batch.map(({ work }) => work.value), { rows, signal });
    if (results.length !== batch.length) throw new PenjingError('E_INTERNAL', `${results.length} results for a batch of ${batch.length}`);
    const runMs = this.#clock.now() - started;
    this.#rate.observe(rows, runMs);
    batch.forEach((entry, i) => entry.resolve({ result: results[i]!, queuedMs: begun - entry.arrived, runMs, batchRows: rows, batchRequests: batch.length }));
  }

  #checkIdle(): void {
    if (this.#queue.length > 0 || this.#running > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

/** Fires when all of a batch have given up; one request without a deadline uses its own. */
function nobodyWaits<T, R>(batch: readonly Entry<T, R>[]): Leaving | undefined {
  const [first] = batch;
  if (batch.length === 1 && first!.work.deadline === undefined) return first!.work.signal;
  const leave = new Leave();
  const gone = (): void => {
    if (batch.every((entry) => entry.settled())) leave.leave(new PenjingError('E_CANCELLED', 'nobody waits for the batch any more'));
  };
  for (const entry of batch) entry.onGone = gone;
  return leave;
}

const late = (arrived: number, deadline: number): PenjingError => new PenjingError('E_DEADLINE', `the request was not done within its ${Math.max(0, Math.ceil(deadline - arrived))} ms`, { hint: 'Give it a longer timeout.' });

const OF_THE_INPUT = new Set(['E_INPUT', 'E_SHAPE', 'E_ENGINE', 'E_DTYPE']);

function isOfTheInput(error: unknown): boolean {
  return isPenjingError(error) && OF_THE_INPUT.has(error.code);
}
