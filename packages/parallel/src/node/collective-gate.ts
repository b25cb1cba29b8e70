/** Where shards wait for each other: cells of shared memory, waits that end when somebody gives up. */
import { PenjingError } from '@penjing/core';

const ARRIVED = 0;
/** Grows with every meeting, and when somebody gives up, so that nobody goes on sleeping. */
const PHASE = 1;
const STOP = 2;
/** How often the shared memory was replaced by a larger one. */
const GENERATION = 3;
const CELLS = 4;

/** A sleeper looks around at least this often; the others wake it long before, unless one of them was killed just then. */
const LOOK_MS = 500;

/** Why shards give up; the highest one counts. */
export const stops = { none: 0, failed: 1, cancelled: 2, closed: 3 } as const;

export class CollectiveGate {
  readonly cells: Int32Array<SharedArrayBuffer>;
  readonly #shards: number;
  readonly #sleep: boolean;

  /** `sleep`: each shard has a thread of its own, which may be stopped; otherwise they take turns in one. */
  constructor(shards: number, { cells = new Int32Array(new SharedArrayBuffer(4 * CELLS)), sleep }: { readonly cells?: Int32Array<SharedArrayBuffer>; readonly sleep: boolean }) {
    this.cells = cells;
    this.#shards = shards;
    this.#sleep = sleep;
  }

  /** Returns when all shards have called it. Throws `E_CANCELLED` or `E_PEER` when one gives up instead. */
  async meet(): Promise<void> {
    this.check();
    const phase = Atomics.load(this.cells, PHASE);
    if (Atomics.add(this.cells, ARRIVED, 1) + 1 === this.#shards) {
      Atomics.store(this.cells, ARRIVED, 0);
      Atomics.add(this.cells, PHASE, 1);
      Atomics.notify(this.cells, PHASE);
    } else await this.#until(PHASE, phase);
    this.check();
  }

  get generation(): number {
    return Atomics.load(this.cells, GENERATION);
  }

  /** Tells all who wait in `grown` that the memory of the next generation is there. */
  grow(): void {
    Atomics.add(this.cells, GENERATION, 1);
    Atomics.notify(this.cells, GENERATION);
  }

  async grown(before: number): Promise<void> {
    await this.#until(GENERATION, before);
    this.check();
  }

  /** Lets all shards give up, wherever they wait. */
  stop(why: (typeof stops)[keyof typeof stops]): void {
    if (Atomics.load(this.cells, STOP) < why) Atomics.store(this.cells, STOP, why);
    Atomics.add(this.cells, PHASE, 1);
    Atomics.notify(this.cells, PHASE);
    Atomics.notify(this.cells, GENERATION);
  }

  /** Before a run; no shard may be in one. */
  reset(): void {
    Atomics.store(this.cells, ARRIVED, 0);
    Atomics.store(this.cells, STOP, stops.none);
  }

  check(): void {
    const why = Atomics.load(this.cells, STOP);
    if (why === stops.failed) throw new PenjingError('E_PEER', 'another shard failed');
    if (why !== stops.none) throw new PenjingError('E_CANCELLED', 'the run was given up');
  }

  async #until(cell: number, value: number): Promise<void> {
    while (Atomics.load(this.cells, cell) === value && Atomics.load(this.cells, STOP) === stops.none) {
      if (this.#sleep) Atomics.wait(this.cells, cell, value, LOOK_MS);
      else await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
