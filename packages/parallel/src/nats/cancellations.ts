/** Hears of runs that are cancelled, and tells the jobs of them that are here. */
import type { KvEntry } from '@nats-io/kv';
import { untilAborted } from '@penjing/core';
import { cancelledRun } from '../jobs/work-queue.js';
import type { FleetStreams } from './fleet-streams.js';
import type { Persist } from './persist.js';

const MOST_CANCELLED = 1_000;

interface Held {
  readonly controller: AbortController;
  jobs: number;
}

/** News say where to look and the record decides: they may come late, when the run has begun again. */
export class Cancellations {
  readonly #streams: FleetStreams;
  readonly #persist: Persist;
  readonly #held = new Map<string, Held>();
  /** Runs that were cancelled lately: their jobs may still arrive. */
  readonly #lately = new Set<string>();
  #listening: Promise<{ stop(): void }> | undefined;

  constructor(streams: FleetStreams, persist: Persist) {
    this.#streams = streams;
    this.#persist = persist;
  }

  async listen(signal?: AbortSignal): Promise<void> {
    this.#listening ??= this.#listen().catch((error: unknown) => {
      this.#listening = undefined;
      throw error;
    });
    await untilAborted(this.#listening, signal);
  }

  async stop(): Promise<void> {
    (await this.#listening?.catch(() => undefined))?.stop();
  }

  async isCancelled(run: string): Promise<boolean> {
    if (!this.#lately.has(run)) return false;
    const { jsm, names } = this.#streams;
    // Not `runs.get`, which a server of a cluster may answer that is behind the others.
    const record = await this.#persist(() => jsm.streams.getMessage(`KV_${names.runs}`, { last_by_subj: `$KV.${names.runs}.${run}` }));
    if (record?.string() === 'cancelled') return true;
    this.#lately.delete(run);
    return false;
  }

  /** A signal for one more job of a run; `release` when the job is over. */
  hold(run: string): { readonly signal: AbortSignal; readonly release: () => void } {
    const held = this.#held.get(run) ?? { controller: new AbortController(), jobs: 0 };
    this.#held.set(run, held);
    held.jobs++;
    let released = false;
    return {
      signal: held.controller.signal,
      release: () => {
        if (released) return;
        released = true;
        if (--held.jobs === 0 && this.#held.get(run) === held) this.#held.delete(run);
      },
    };
  }

  async #listen(): Promise<{ stop(): void }> {
    const watcher = await this.#persist(() => this.#streams.runs.watch({ include: 'updates' }));
    const hear = async (): Promise<void> => {
      for await (const entry of watcher) this.#hear(entry);
    };
    // The next that takes a job opens another.
    hear().catch(() => {}).finally(() => (this.#listening = undefined));
    return watcher;
  }

  #hear(entry: KvEntry): void {
    const { key: run } = entry;
    this.#lately.delete(run);
    if (entry.operation !== 'PUT' || entry.string() !== 'cancelled') return;
    this.#lately.add(run);
    const [oldest] = this.#lately;
    if (this.#lately.size > MOST_CANCELLED && oldest !== undefined) this.#lately.delete(oldest);
    if (this.#held.has(run)) void this.#abort(run);
  }

  async #abort(run: string): Promise<void> {
    // Where the record cannot be read the jobs run on, and their results are kept for nobody.
    if (!(await this.isCancelled(run).catch(() => false))) return;
    this.#held.get(run)?.controller.abort(cancelledRun(run));
    this.#held.delete(run);
  }
}
