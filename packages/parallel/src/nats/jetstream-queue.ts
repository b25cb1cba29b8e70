/** The queue of a fleet: a work-queue stream and a record of outcomes on a NATS server. */
import { JetStreamApiError } from '@nats-io/jetstream';
import { type Msg, type NatsConnection, nuid } from '@nats-io/nats-core';
import { checkRun, jobId, type JobSpec, type Outcome } from '../jobs/job.js';
import { ACK_WAIT_MS, cancelledRun, disposedQueue, type JobCounts, MOST_DELIVERIES, type Published, type TakenJob, type Until, type WorkQueue } from '../jobs/work-queue.js';
import { Cancellations } from './cancellations.js';
import { Deliveries } from './deliveries.js';
import { type FleetStreams, openFleet } from './fleet-streams.js';
import { JobRecord } from './job-record.js';
import { type Persist, persistOn } from './persist.js';
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

/** The connection stays the caller's. Throws `E_BROKER` for a server that keeps no jobs. */
export async function jetStreamQueue(connection: NatsConnection, { fleet = 'penjing', ackWait = ACK_WAIT_MS, mostDeliveries = MOST_DELIVERIES, mostPending = 1024, replicas = 1, memory = false }: JetStreamQueueOptions = {}): Promise<WorkQueue> {
  const streams = await openFleet(connection, { fleet, ackWait, mostPending, replicas, memory });
  return new JetStreamQueue(connection, streams, ackWait, mostDeliveries);
}

/** One who waits for jobs. */
interface Taker {
  readonly max: number;
  wake: () => void;
}

class JetStreamQueue implements WorkQueue {
  readonly ackWait: number;
  readonly #connection: NatsConnection;
  readonly #streams: FleetStreams;
  readonly #closed = new AbortController();
  readonly #persist: Persist;
  readonly #record: JobRecord;
  readonly #cancellations: Cancellations;
  readonly #deliveries: Deliveries;
  readonly #takers = new Set<Taker>();
  readonly #arrived: TakenJob[] = [];
  /** Messages that are looked at. */
  #arriving = 0;
  #pull: Pull | undefined;

  constructor(connection: NatsConnection, streams: FleetStreams, ackWait: number, mostDeliveries: number) {
    this.#connection = connection;
    this.#streams = streams;
    this.ackWait = ackWait;
    this.#persist = persistOn(connection, this.#closed.signal);
    this.#record = new JobRecord(streams, this.#persist);
    this.#cancellations = new Cancellations(streams, this.#persist);
    this.#deliveries = new Deliveries(connection, streams, this.#record, this.#cancellations, this.#persist, mostDeliveries);
  }

  async begin(run: string, { keep = false, signal }: { readonly keep?: boolean } & Until = {}): Promise<void> {
    checkRun(run);
    await this.#persist(async () => {
      if (!keep) await this.#purge(run);
      await this.#streams.runs.put(run, 'open');
    }, signal);
  }

  async publish(run: string, job: JobSpec, { signal }: Until = {}): Promise<Published> {
    const id = await jobId(job);
    checkRun(run);
    const { names, js, runs } = this.#streams;
    if (await this.#record.outcome(run, id, signal)) return { id, duplicate: true };
    if ((await this.#persist(() => runs.get(run), signal))?.string() === 'cancelled') throw cancelledRun(run);
    // Attempts of one call are told apart from a later call: that may follow the end of the job, and is caught by its subject and its outcome.
    const msgID = `${run}.${id}.${nuid.next()}`;
    try {
      const { duplicate } = await this.#persist(() => js.publish(names.subject(run, id), JSON.stringify({ handler: job.handler, spec: job.spec }), { msgID, timeout: PUBLISH_ATTEMPT_MS }), signal);
      return { id, duplicate };
    } catch (error) {
      if (error instanceof JetStreamApiError && /per subject/.test(error.message)) return { id, duplicate: true };
      throw error;
    }
  }

  async take({ max, signal }: { readonly max: number } & Until): Promise<readonly TakenJob[]> {
    try {
      await this.#cancellations.listen(signal);
    } catch (error) {
      if (signal?.aborted) return [];
      throw error;
    }
    const taken = await this.#wait(max, signal);
    if (signal?.aborted) await this.#withdraw();
    else this.#closed.signal.throwIfAborted();
    return taken;
  }

  async outcome(run: string, id: string, { signal }: Until = {}): Promise<Outcome | undefined> {
    return this.#record.outcome(run, id, signal);
  }

  async watch(run: string, onOutcome: (outcome: Outcome) => void, { signal }: Until = {}): Promise<AsyncDisposable> {
    return this.#record.watch(run, onOutcome, signal);
  }

  async redo(run: string, id: string, { signal }: Until = {}): Promise<void> {
    await this.#record.forgetOne(run, id, signal);
  }

  async cancel(run: string, { signal }: Until = {}): Promise<void> {
    checkRun(run);
    await this.#persist(async () => {
      await this.#streams.runs.put(run, 'cancelled');
      await this.#purgeJobs(run);
      await this.#record.forgetStarts(run);
    }, signal);
  }

  async forget(run: string, { signal }: Until = {}): Promise<void> {
    checkRun(run);
    const { jsm, names } = this.#streams;
    await this.#persist(async () => {
      await this.#purge(run);
      await jsm.streams.purge(`KV_${names.runs}`, { filter: `$KV.${names.runs}.${run}` });
    }, signal);
  }

  async counts(): Promise<JobCounts> {
    const { jsm, names } = this.#streams;
    const { num_pending: waiting, num_ack_pending: running } = await jsm.consumers.info(names.stream, names.consumer);
    return { waiting, running };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(disposedQueue());
    for (const taker of [...this.#takers]) taker.wake();
    this.#takers.clear();
    await this.#withdraw();
    await this.#cancellations.stop();
  }

  async #purge(run: string): Promise<void> {
    await this.#purgeJobs(run);
    await this.#record.forgetRun(run);
  }

  async #purgeJobs(run: string): Promise<void> {
    const { jsm, names } = this.#streams;
    await jsm.streams.purge(names.stream, { filter: names.subject(run, '*') });
  }

  /** Jobs, none when the signal fires or the queue is disposed. They are taken at once: two may be woken by the same job. */
  async #wait(max: number, signal: AbortSignal | undefined): Promise<readonly TakenJob[]> {
    const taker: Taker = { max, wake: () => {} };
    this.#takers.add(taker);
    this.#ask();
    while (this.#arrived.length === 0 && !signal?.aborted && !this.#closed.signal.aborted) {
      await new Promise<void>((resolve) => {
        taker.wake = () => {
          signal?.removeEventListener('abort', taker.wake);
          resolve();
        };
        signal?.addEventListener('abort', taker.wake, { once: true });
      });
    }
    this.#takers.delete(taker);
    return signal?.aborted || this.#closed.signal.aborted ? [] : this.#arrived.splice(0, max);
  }

  /** For all who wait. */
  #wanted(): number {
    let wanted = 0;
    for (const { max } of this.#takers) wanted += max;
    return wanted;
  }

  #ask(): void {
    if (this.#closed.signal.aborted) return;
    const { names } = this.#streams;
    this.#pull ??= new Pull(this.#connection, names.stream, names.consumer, (message) => void this.#arrive(message));
    this.#pull.want(this.#wanted() - this.#arrived.length - this.#arriving);
  }

  /** What still comes for one who has given up goes to somebody else. */
  async #withdraw(): Promise<void> {
    const pull = this.#pull;
    this.#pull = undefined;
    await pull?.close();
    if (this.#takers.size > 0) this.#ask();
    await this.#giveBackSurplus();
  }

  async #giveBackSurplus(): Promise<void> {
    if (this.#connection.isClosed()) return;
    await Promise.allSettled(this.#arrived.splice(this.#wanted()).map((job) => job.giveBack()));
  }

  async #arrive(message: Msg): Promise<void> {
    this.#arriving++;
    // One that cannot be looked at now is delivered again.
    const job = await this.#deliveries.accept(message).catch(() => undefined);
    this.#arriving--;
    if (job) this.#arrived.push(job);
    // The last who waited gave up meanwhile.
    if (!this.#pull) return this.#giveBackSurplus();
    if (!job) return this.#ask();
    for (const taker of [...this.#takers]) taker.wake();
  }
}
