/** Makes jobs of what the server delivers, and settles at once what is none, is over or was tried too often. */
import type { Msg, NatsConnection } from '@nats-io/nats-core';
import { checkResult, type JobFailure, type JobSpec, type Json } from '../jobs/job.js';
import { within } from '../jobs/waiting.js';
import { lostFailure, retryDelay, type TakenJob } from '../jobs/work-queue.js';
import type { Cancellations } from './cancellations.js';
import type { FleetStreams } from './fleet-streams.js';
import type { JobRecord } from './job-record.js';
import type { Persist } from './persist.js';

const PUBLISH_ATTEMPT_MS = 5_000;
const FLUSH_MS = 1_000;
/** In characters; control characters take six bytes in JSON, and servers take 128 KB at least. */
const MOST_TEXT = 16 * 1024;
/** Of runs and of jobs: what can be a key of the record. */
const NAME = /^[A-Za-z0-9_-]+$/;
const NO_JOB: JobFailure = { code: 'E_DATA', message: 'the message is no job', hint: 'Its text is in the dead letter; look who else publishes on the subjects of the fleet.' };

interface Letter {
  readonly run: string;
  readonly id: string;
  readonly failure: JobFailure;
  readonly deliveries: number;
  /** What was to be done; the text where that was no job. */
  readonly handler?: string;
  readonly spec?: Json;
  readonly text?: string;
}

export class Deliveries {
  readonly #connection: NatsConnection;
  readonly #streams: FleetStreams;
  readonly #record: JobRecord;
  readonly #cancellations: Cancellations;
  readonly #persist: Persist;
  readonly #most: number;

  constructor(connection: NatsConnection, streams: FleetStreams, record: JobRecord, cancellations: Cancellations, persist: Persist, most: number) {
    this.#connection = connection;
    this.#streams = streams;
    this.#record = record;
    this.#cancellations = cancellations;
    this.#persist = persist;
    this.#most = most;
  }

  /** A delivery to work on; undefined for one that is settled. */
  async accept(message: Msg): Promise<TakenJob | undefined> {
    const [run = '', id = ''] = message.subject.split('.').slice(-2);
    const job = jobOf(message);
    // Left alone it would come again for ever, and hold a place among those that may be unanswered.
    if (!job || !NAME.test(run) || !NAME.test(id)) return void (await this.#bury(message, { run, id, failure: NO_JOB, deliveries: 0, text: message.string().slice(0, MOST_TEXT) }));
    const again = deliveryOf(message) > 1;
    if ((again && (await this.#record.outcome(run, id))) || (await this.#cancellations.isCancelled(run))) return void (await this.#answer(message, '+ACK'));
    // The server counts deliveries, also of jobs that were only held by a worker that ended.
    const starts = again ? await this.#record.starts(run, id) : 0;
    if (starts >= this.#most) return void (await this.#bury(message, { run, id, ...job, failure: lostFailure(starts), deliveries: starts }));
    return this.#taken(message, run, id, job, starts + 1);
  }

  #taken(message: Msg, run: string, id: string, job: JobSpec, delivery: number): TakenJob {
    const { signal, release } = this.#cancellations.hold(run);
    let open = true;
    let begun: Promise<void> | undefined;
    const end = (): void => {
      open = false;
      release();
    };
    const begin = (): Promise<void> => (begun ??= this.#record.setStarts(run, id, delivery));
    return {
      run, id, ...job, delivery, signal, begin,
      working: () => void (open && message.respond('+WPI')),
      complete: async (result: Json) => {
        checkResult(result);
        const first = await this.#record.decide(run, { id, state: 'done', result });
        await this.#answer(message, '+ACK');
        end();
        return first;
      },
      fail: async (failure) => {
        if (!open) return;
        end();
        if (delivery >= this.#most) return this.#bury(message, { run, id, ...job, failure, deliveries: delivery });
        await begin();
        message.respond(`-NAK ${JSON.stringify({ delay: retryDelay(delivery) * 1e6 })}`);
      },
      giveBack: async () => {
        if (!open) return;
        end();
        if (begun) await this.#record.setStarts(run, id, delivery - 1);
        message.respond('-NAK');
        // Where the server is away it finds out by itself.
        await within(FLUSH_MS, [this.#connection.flush()]);
      },
    };
  }

  /** The letter is for people, who look at the stream; the outcome is for who waits. */
  async #bury(message: Msg, letter: Letter): Promise<void> {
    const { run, id, failure, deliveries } = letter;
    const { names, js } = this.#streams;
    await this.#persist(() => js.publish(names.deadSubject(run, id), JSON.stringify(letter), { msgID: `${run}.${id}`, timeout: PUBLISH_ATTEMPT_MS }));
    if (NAME.test(run) && NAME.test(id)) await this.#record.decide(run, { id, state: 'dead', failure, deliveries });
    await this.#answer(message, '+ACK');
  }

  /** Waits until the server has it. One that is lost brings the job back, which then has an outcome. */
  async #answer(message: Msg, answer: string): Promise<void> {
    if (message.reply) await this.#connection.request(message.reply, answer, { timeout: 5_000 }).catch(() => {});
  }
}

function jobOf(message: Msg): JobSpec | undefined {
  try {
    const { handler, spec } = message.json<Partial<JobSpec>>();
    return typeof handler === 'string' && spec !== undefined ? { handler, spec } : undefined;
  } catch {
    return undefined;
  }
}

/** `$JS.ACK.<stream>.<consumer>.<deliveries>.…`; newer servers put domain and account before the stream. */
function deliveryOf({ reply = '' }: Msg): number {
  const tokens = reply.split('.');
  return Number(tokens[tokens.length === 9 ? 4 : 6]);
}
