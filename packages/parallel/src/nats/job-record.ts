/** What a fleet's server knows of jobs: the outcome of each, and how often it began. */
import { JetStreamApiError } from '@nats-io/jetstream';
import type { KvEntry } from '@nats-io/kv';
import type { Outcome } from '../jobs/job.js';
import { within } from '../jobs/waiting.js';
import type { FleetStreams } from './fleet-streams.js';
import type { Persist } from './persist.js';

/** With and without the number that was found. */
const WRONG_LAST_SEQUENCE: readonly number[] = [10071, 10164];
/** A job does not wait longer for its start to be recorded: where the server is away nothing can be. */
const COUNT_MS = 1_000;

export class JobRecord {
  readonly #streams: FleetStreams;
  readonly #persist: Persist;

  constructor(streams: FleetStreams, persist: Persist) {
    this.#streams = streams;
    this.#persist = persist;
  }

  async outcome(run: string, id: string, signal?: AbortSignal): Promise<Outcome | undefined> {
    const entry = await this.#persist(() => this.#streams.outcomes.get(`${run}.${id}`), signal);
    return entry ? outcomeOf(entry) : undefined;
  }

  async watch(run: string, onOutcome: (outcome: Outcome) => void, signal?: AbortSignal): Promise<AsyncDisposable> {
    const watcher = await this.#persist(() => this.#streams.outcomes.watch({ key: `${run}.*`, include: 'updates' }), signal);
    const hear = async (): Promise<void> => {
      for await (const entry of watcher) {
        try {
          const outcome = outcomeOf(entry);
          if (outcome) onOutcome(outcome);
        } catch {
          // A listener that fails must not keep the next outcome from others, nor end this process.
        }
      }
    };
    // What ends the watch early is what ends the connection; who waits looks at the record.
    hear().catch(() => {});
    return { [Symbol.asyncDispose]: async () => watcher.stop() };
  }

  /** True when this is what became of the job. */
  decide(run: string, outcome: Outcome): Promise<boolean> {
    return this.#persist(async () => {
      try {
        await this.#streams.outcomes.create(`${run}.${outcome.id}`, JSON.stringify(outcome));
        return true;
      } catch (error) {
        if (error instanceof JetStreamApiError && WRONG_LAST_SEQUENCE.includes(error.code)) return false;
        throw error;
      }
    });
  }

  /** How often it began, but for when it was given back. */
  async starts(run: string, id: string): Promise<number> {
    const entry = await this.#persist(() => this.#streams.starts.get(`${run}.${id}`));
    const count = entry?.operation === 'PUT' ? Number(entry.string()) : 0;
    return Number.isSafeInteger(count) && count > 0 ? count : 0;
  }

  /** Never throws: one that is not counted gives the job one more try. */
  async setStarts(run: string, id: string, count: number): Promise<void> {
    await within(COUNT_MS, [this.#streams.starts.put(`${run}.${id}`, String(count))]);
  }

  async forgetOne(run: string, id: string, signal?: AbortSignal): Promise<void> {
    await this.#persist(async () => {
      await this.#streams.starts.delete(`${run}.${id}`);
      await this.#streams.outcomes.delete(`${run}.${id}`);
    }, signal);
  }

  async forgetStarts(run: string): Promise<void> {
    await this.#purge(this.#streams.names.starts, run);
  }

  async forgetRun(run: string): Promise<void> {
    await this.forgetStarts(run);
    await this.#purge(this.#streams.names.outcomes, run);
  }

  async #purge(bucket: string, run: string): Promise<void> {
    await this.#streams.jsm.streams.purge(`KV_${bucket}`, { filter: `$KV.${bucket}.${run}.*` });
  }
}

/** One that cannot be read is an outcome too: without, its job would be done again for ever, as it is there and cannot be decided. */
function outcomeOf(entry: KvEntry): Outcome | undefined {
  if (entry.operation !== 'PUT') return undefined;
  const id = entry.key.slice(entry.key.indexOf('.') + 1);
  try {
    const outcome = entry.json<Outcome>();
    if (outcome.id === id && (outcome.state === 'done' || outcome.state === 'dead')) return outcome;
  } catch {
    // Told below.
  }
  return { id, state: 'dead', failure: { code: 'E_DATA', message: `the record of what became of the job ${id} is damaged`, hint: 'Do the job again.' }, deliveries: 0 };
}
