/** The queue of a fleet: a work-queue stream and a record of outcomes on a NATS server. */
import { JetStreamApiError } from '@nats-io/jetstream';
import { type Msg, type NatsConnection, nuid } from '@nats-io/nats-core';
import { checkResult, checkRun, type JobFailure, jobId, type JobSpec, type Json, type Outcome } from '../jobs/job.js';
import { cancelledRun } from '../jobs/memory-queue.js';
import { ACK_WAIT_MS, lostFailure, MOST_DELIVERIES, retryDelay, type TakenJob, type WorkQueue } from '../jobs/work-queue.js';
import { isPassing } from './connect.js';
import { type FleetStreams, openFleet } from './fleet-streams.js';
import { Pull } from './pull.js';

export interface JetStreamQueueOptions {
  /** Fleets on the same server share nothing; `penjing` when absent. */
  readonly fleet?: string;
  readonly ackWait?: number;
  readonly mostDeliveries?: number;
  /** Jobs that the whole fleet holds at a time; 1024 when absent. */
  readonly mostPending?: number;
  /** Servers of a cluster that keep everything; 1 when absent, 3 is what a cluster wants. */
  readonly replicas?: number;
  /** Keep everything in the memory of the server: for tests. */
  readonly memory?: boolean;
}

const PUBLISH_ATTEMPT_MS = 5_000;
const MOST_CANCELLED = 1_000;

/** The connection stays the caller's. Throws `E_BROKER` for a server that keeps no jobs. */
export async function jetStreamQueue(connection: NatsConnection, { fleet = 'penjing', ackWait = ACK_WAIT_MS, mostDeliveries = MOST_DELIVERIES, mostPending = 1024, replicas = 1, memory = false }: JetStreamQueueOptions = {}): Promise<WorkQueue> {
  const streams = await openFleet(connection, { fleet, ackWait, mostPending, replicas, memory });
  return new JetStreamQueue(connection, streams, ackWait, mostDeliveries);
}

class JetStreamQueue implements WorkQueue {
  readonly ackWait: number;
  readonly #connection: NatsConnection;
  readonly #streams: FleetStreams;
  readonly #mostDeliveries: number;
  readonly #arrived: TakenJob[] = [];
  readonly #cancels = new Map<string, { readonly controller: AbortController; jobs: number }>();
  /** Runs that were cancelled lately: their jobs may still arrive. */
  readonly #cancelled = new Set<string>();
  readonly #closed = new AbortController();
  #pull: Pull | undefined;
  #wake = (): void => {};
  #hearingCancels: Promise<unknown> | undefined;

  constructor(connection: NatsConnection, streams: FleetStreams, ackWait: number, mostDeliveries: number) {
    this.#connection = connection;
    this.#streams = streams;
    this.ackWait = ackWait;
    this.#mostDeliveries = mostDeliveries;
  }

  async begin(run: string, { keep = false }: { readonly keep?: boolean } = {}): Promise<void> {
    checkRun(run);
    await this.#persist(async () => {
      if (!keep) await this.#purge(run);
      await this.#streams.runs.put(run, 'open');
    });
  }

  async publish(run: string, job: JobSpec): Promise<{ id: string; duplicate: boolean }> {
    const id = await jobId(job);
    checkRun(run);
    const { names, js, runs } = this.#streams;
    if (await this.outcome(run, id)) return { id, duplicate: true };
    if ((await this.#persist(() => runs.get(run)))?.string() === 'cancelled') throw cancelledRun(run);
    // Attempts of one call are told apart from a later call: that may follow the end of the job, and is caught by its subject and its outcome.
    const msgID = `${run}.${id}.${nuid.next()}`;
    try {
      const { duplicate } = await this.#persist(() => js.publish(names.subject(run, id), JSON.stringify({ handler: job.handler, spec: job.spec }), { msgID, timeout: PUBLISH_ATTEMPT_MS }));
      return { id, duplicate };
    } catch (error) {
      if (error instanceof JetStreamApiError && /per subject/.test(error.message)) return { id, duplicate: true };
      throw error;
    }
  }

  async take({ max, signal }: { readonly max: number; readonly signal?: AbortSignal }): Promise<readonly TakenJob[]> {
    const { names } = this.#streams;
    this.#hearingCancels ??= this.#hearCancels();
    await this.#hearingCancels;
    this.#pull ??= new Pull(this.#connection, names.stream, names.consumer, (message) => void this.#arrive(message));
    this.#pull.want(max - this.#arrived.length);
    while (this.#arrived.length === 0 && !signal?.aborted && !this.#closed.signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        this.#wake = wake;
        signal?.addEventListener('abort', wake, { once: true });
      });
    }
    // What still comes for one who has given up goes to somebody else.
    if (signal?.aborted) {
      await this.#pull.close();
      this.#pull = undefined;
      await Promise.all(this.#arrived.splice(0).map((job) => job.giveBack()));
      return [];
    }
    return this.#arrived.splice(0, max);
  }

  async outcome(run: string, id: string): Promise<Outcome | undefined> {
    const entry = await this.#persist(() => this.#streams.outcomes.get(`${run}.${id}`));
    return entry && entry.operation === 'PUT' ? entry.json<Outcome>() : undefined;
  }

  async watch(run: string, onOutcome: (outcome: Outcome) => void): Promise<AsyncDisposable> {
    const watcher = await this.#persist(() => this.#streams.outcomes.watch({ key: `${run}.*`, include: 'updates' }));
    void (async () => {
      for await (const entry of watcher) if (entry.operation === 'PUT') onOutcome(entry.json<Outcome>());
    })();
    return { [Symbol.asyncDispose]: async () => watcher.stop() };
  }

  async redo(run: string, id: string): Promise<void> {
    await this.#persist(() => this.#streams.outcomes.delete(`${run}.${id}`));
  }

  async cancel(run: string): Promise<void> {
    checkRun(run);
    const { names, jsm, runs } = this.#streams;
    await this.#persist(async () => {
      await runs.put(run, 'cancelled');
      await jsm.streams.purge(names.stream, { filter: names.subject(run, '*') });
    });
  }

  async forget(run: string): Promise<void> {
    checkRun(run);
    await this.#persist(async () => {
      await this.#purge(run);
      await this.#streams.jsm.streams.purge(`KV_${this.#streams.names.runs}`, { filter: `$KV.${this.#streams.names.runs}.${run}` });
    });
  }

  async counts(): Promise<{ waiting: number; running: number }> {
    const { jsm, names } = this.#streams;
    const { num_pending: waiting, num_ack_pending: running } = await jsm.consumers.info(names.stream, names.consumer);
    return { waiting, running };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#wake();
    await this.#pull?.close();
    if (this.#connection.isClosed()) return;
    await Promise.all(this.#arrived.splice(0).map((job) => job.giveBack()));
    ((await this.#hearingCancels?.catch(() => undefined)) as { stop(): void } | undefined)?.stop();
  }

  async #purge(run: string): Promise<void> {
    const { jsm, names } = this.#streams;
    await jsm.streams.purge(names.stream, { filter: names.subject(run, '*') });
    await jsm.streams.purge(`KV_${names.outcomes}`, { filter: `$KV.${names.outcomes}.${run}.*` });
  }

  /** Fires signals of jobs whose runs are cancelled. */
  async #hearCancels(): Promise<unknown> {
    const watcher = await this.#persist(() => this.#streams.runs.watch({ include: 'updates' }));
    void (async () => {
      for await (const entry of watcher) this.#hearRun(entry.key, entry.operation === 'PUT' && entry.string() === 'cancelled');
    })();
    return watcher;
  }

  #hearRun(run: string, cancelled: boolean): void {
    this.#cancelled.delete(run);
    if (!cancelled) return;
    this.#cancelled.add(run);
    const [oldest] = this.#cancelled;
    if (this.#cancelled.size > MOST_CANCELLED && oldest !== undefined) this.#cancelled.delete(oldest);
    this.#cancels.get(run)?.controller.abort(cancelledRun(run));
    this.#cancels.delete(run);
  }

  async #arrive(message: Msg): Promise<void> {
    const job = await this.#accept(message).catch(() => undefined);
    if (!job) return this.#pull?.want(1);
    this.#arrived.push(job);
    this.#wake();
  }

  /** A delivery to work on; undefined for one that is settled at once. */
  async #accept(message: Msg): Promise<TakenJob | undefined> {
    const [run = '', id = ''] = message.subject.split('.').slice(-2);
    const delivery = deliveryOf(message);
    const { handler, spec } = message.json<JobSpec>();
    if (this.#cancelled.has(run) || (delivery > 1 && (await this.outcome(run, id)))) return void (await this.#answer(message, '+ACK'));
    if (delivery > this.#mostDeliveries) return void (await this.#bury(message, { run, id, handler, spec }, lostFailure(this.#mostDeliveries), this.#mostDeliveries));
    const cancel = this.#cancels.get(run) ?? { controller: new AbortController(), jobs: 0 };
    this.#cancels.set(run, cancel);
    cancel.jobs++;
    let open = true;
    const end = (): void => {
      if (!open) return;
      open = false;
      if (--cancel.jobs === 0 && this.#cancels.get(run) === cancel) this.#cancels.delete(run);
    };
    return {
      run, id, handler, spec, delivery,
      signal: cancel.controller.signal,
      working: () => void (open && message.respond('+WPI')),
      complete: async (result: Json) => {
        checkResult(result);
        const first = await this.#decide(run, { id, state: 'done', result });
        await this.#answer(message, '+ACK');
        end();
        return first;
      },
      fail: async (failure) => {
        end();
        if (delivery >= this.#mostDeliveries) return this.#bury(message, { run, id, handler, spec }, failure, delivery);
        message.respond(`-NAK ${JSON.stringify({ delay: retryDelay(delivery) * 1e6 })}`);
      },
      giveBack: async () => {
        end();
        message.respond('-NAK');
        await this.#connection.flush();
      },
    };
  }

  /** True when this is what became of the job. */
  async #decide(run: string, outcome: Outcome): Promise<boolean> {
    const { outcomes } = this.#streams;
    return this.#persist(async () => {
      try {
        await outcomes.create(`${run}.${outcome.id}`, JSON.stringify(outcome));
        return true;
      } catch (error) {
        if (error instanceof JetStreamApiError && WRONG_LAST_SEQUENCE.includes(error.code)) return false;
        throw error;
      }
    });
  }

  /** The letter is for people, who look at the stream; the outcome is for who waits. */
  async #bury(message: Msg, job: JobSpec & { readonly run: string; readonly id: string }, failure: JobFailure, deliveries: number): Promise<void> {
    const { names, js } = this.#streams;
    await this.#persist(() => js.publish(names.deadSubject(job.run, job.id), JSON.stringify({ ...job, failure, deliveries }), { msgID: `${job.run}.${job.id}`, timeout: PUBLISH_ATTEMPT_MS }));
    await this.#decide(job.run, { id: job.id, state: 'dead', failure, deliveries });
    await this.#answer(message, '+ACK');
  }

  /** Waits until the server has it. One that is lost brings the job back, which then has an outcome. */
  async #answer(message: Msg, answer: string): Promise<void> {
    if (message.reply) await this.#connection.request(message.reply, answer, { timeout: 5_000 }).catch(() => {});
  }

  /** Tries again for as long as the server is away: what was computed is not lost with it. */
  async #persist<T>(call: () => Promise<T>): Promise<T> {
    for (let wait = 100; ; wait = Math.min(2_000, wait * 2)) {
      try {
        return await call();
      } catch (error) {
        if (!isPassing(error) || this.#connection.isClosed() || this.#closed.signal.aborted) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

/** With and without the number that was found. */
const WRONG_LAST_SEQUENCE: readonly number[] = [10071, 10164];

/** `$JS.ACK.<stream>.<consumer>.<deliveries>.…`; newer servers put domain and account before the stream. */
function deliveryOf({ reply = '' }: Msg): number {
  const tokens = reply.split('.');
  return Number(tokens[tokens.length === 9 ? 4 : 6]);
}
