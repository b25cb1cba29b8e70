/** What a fleet keeps on its server: a stream of jobs, one of dead letters, the record of outcomes, that of starts, the list of cancelled runs. */
import { AckPolicy, DiscardPolicy, jetstream, type JetStreamClient, type JetStreamManager, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';
import { PenjingError } from '@penjing/core';

export interface FleetNames {
  readonly stream: string;
  readonly consumer: string;
  readonly dead: string;
  readonly outcomes: string;
  readonly starts: string;
  readonly runs: string;
  /** Of one job. */
  readonly subject: (run: string, id: string) => string;
  readonly deadSubject: (run: string, id: string) => string;
}

export interface FleetStreams {
  readonly names: FleetNames;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly outcomes: KV;
  /** Of every job that began, how often. */
  readonly starts: KV;
  readonly runs: KV;
}

export interface FleetStreamOptions {
  readonly fleet: string;
  readonly ackWait: number;
  /** Deliveries without an answer, over all workers: what the fleet takes on at a time. */
  readonly mostPending: number;
  readonly replicas: number;
  readonly memory: boolean;
}

/** Outcomes and dead letters of runs that nobody came back for. */
const KEPT_MS = 7 * 24 * 3_600_000;

export function fleetNames(fleet: string): FleetNames {
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(fleet)) throw new PenjingError('E_OPTION', `${JSON.stringify(fleet)} is no name of a fleet`, { hint: 'Use at most 32 letters, digits, - and _.' });
  return {
    stream: `${fleet}_jobs`, consumer: 'workers', dead: `${fleet}_dead`, outcomes: `${fleet}_outcomes`, starts: `${fleet}_starts`, runs: `${fleet}_runs`,
    subject: (run, id) => `${fleet}.jobs.${run}.${id}`,
    deadSubject: (run, id) => `${fleet}.dead.${run}.${id}`,
  };
}

/** Makes what is missing; what is there keeps its settings, but for the wait, which every worker must agree on. Only what servers have since 2.9. */
export async function openFleet(connection: NatsConnection, { fleet, ackWait, mostPending, replicas, memory }: FleetStreamOptions): Promise<FleetStreams> {
  const names = fleetNames(fleet);
  const js = jetstream(connection, { timeout: 5_000 });
  const jsm = await js.jetstreamManager();
  const storage = memory ? StorageType.Memory : StorageType.File;
  await orThere(() => jsm.streams.add({
    name: names.stream,
    subjects: [names.subject('*', '*')],
    retention: RetentionPolicy.Workqueue,
    storage,
    num_replicas: replicas,
    // A subject is a job: while it is in the stream it is not added again, however long ago it was published.
    max_msgs_per_subject: 1,
    discard: DiscardPolicy.New,
    discard_new_per_subject: true,
  }), () => jsm.streams.info(names.stream));
  await orThere(() => jsm.streams.add({ name: names.dead, subjects: [names.deadSubject('*', '*')], storage, num_replicas: replicas, max_age: KEPT_MS * 1e6 }), () => jsm.streams.info(names.dead));
  const consumer = {
    durable_name: names.consumer,
    ack_policy: AckPolicy.Explicit,
    ack_wait: ackWait * 1e6,
    max_ack_pending: mostPending,
    // Workers count deliveries: an advisory of the server reaches nobody when nobody listens.
    max_deliver: -1,
  };
  await orThere(() => jsm.consumers.add(names.stream, consumer), async () => {
    const { config } = await jsm.consumers.info(names.stream, names.consumer);
    if (config.ack_wait !== consumer.ack_wait || config.max_ack_pending !== mostPending) await jsm.consumers.update(names.stream, names.consumer, { ack_wait: consumer.ack_wait, max_ack_pending: mostPending });
  });
  const kvm = new Kvm(js);
  const options = { replicas, storage, ttl: KEPT_MS };
  return { names, js, jsm, outcomes: await kvm.create(names.outcomes, options), starts: await kvm.create(names.starts, options), runs: await kvm.create(names.runs, options) };
}

/** Two that start at the same time both try to add; who comes second finds it there, perhaps with other settings. */
async function orThere(add: () => Promise<unknown>, look: () => Promise<unknown>): Promise<void> {
  try {
    await add();
  } catch (cause) {
    await look().catch(() => {
      throw new PenjingError('E_BROKER', `the NATS server does not keep jobs: ${(cause as Error).message}`, { cause, hint: 'The account needs JetStream with file storage, and leave to make streams.' });
    });
  }
}
