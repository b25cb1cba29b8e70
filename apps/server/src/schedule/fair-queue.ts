/**
 * A queue of work in buckets that can run together: fair between clients, urgent first, and nobody starves. Start-time fair
 * queueing (Goyal, Vin, Cheng 1996): each client and level is a flow, an entry is ordered by the virtual time at which its flow
 * would be served alone, and a level of priority is worth a fixed amount of service.
 */

export interface QueueEntry {
  /** What it costs, in rows of a batch. */
  readonly rows: number;
  /** Entries of one bucket may run together; undefined runs alone. */
  readonly bucket: string | undefined;
  /** 0 is the most urgent. */
  readonly level: number;
  readonly client: string;
  readonly arrived: number;
}

interface Placed<E> {
  readonly entry: E;
  readonly order: number;
  readonly start: number;
  readonly sequence: number;
}

interface Bucket<E> {
  readonly placed: Placed<E>[];
  rows: number;
}

/** Above this many flows those whose service lies in the past are forgotten. */
const SWEEP_ABOVE = 1024;

export class FairQueue<E extends QueueEntry> {
  readonly #levelRows: number;
  readonly #buckets = new Map<string | E, Bucket<E>>();
  /** Virtual time at which each flow has been served. */
  readonly #finished = new Map<string, number>();
  readonly #waitingByFlow = new Map<string, number>();
  #time = 0;
  #sequence = 0;
  #length = 0;
  #rows = 0;

  /** After `levelRows` rows of a more urgent level one row of the next is as urgent. */
  constructor(levelRows: number) {
    this.#levelRows = levelRows;
  }

  get length(): number {
    return this.#length;
  }

  get rows(): number {
    return this.#rows;
  }

  push(entry: E): void {
    const flow = flowOf(entry);
    const start = Math.max(this.#time, this.#finished.get(flow) ?? 0);
    this.#finished.set(flow, start + entry.rows);
    if (this.#finished.size > SWEEP_ABOVE) this.#sweep();
    this.#waitingByFlow.set(flow, (this.#waitingByFlow.get(flow) ?? 0) + 1);
    const key = entry.bucket ?? entry;
    const bucket = this.#buckets.get(key) ?? { placed: [], rows: 0 };
    this.#buckets.set(key, bucket);
    const placed = { entry, start, order: start + entry.level * this.#levelRows, sequence: this.#sequence++ };
    bucket.placed.splice(placeOf(bucket.placed, placed), 0, placed);
    bucket.rows += entry.rows;
    this.#length++;
    this.#rows += entry.rows;
  }

  /** Takes out an entry that was given up; its flow is not charged for it. */
  remove(entry: E): boolean {
    const bucket = this.#buckets.get(entry.bucket ?? entry);
    const at = bucket?.placed.findIndex((placed) => placed.entry === entry) ?? -1;
    if (!bucket || at < 0) return false;
    this.#takeOut(bucket, [bucket.placed[at]!]);
    const flow = flowOf(entry);
    this.#finished.set(flow, (this.#finished.get(flow) ?? entry.rows) - entry.rows);
    return true;
  }

  /**
   * Takes the next batch: of the buckets that `size` finds ready (it is given their rows and oldest arrival, and tells how many
   * rows to take, 0 for not yet), the one whose first entry is due first. An entry of more rows than that is taken alone.
   */
  take(size: (rows: number, oldest: number) => number): E[] {
    let best: { bucket: Bucket<E>; rows: number } | undefined;
    for (const bucket of this.#buckets.values()) {
      const first = bucket.placed[0]!;
      if (best && !before(first, best.bucket.placed[0]!)) continue;
      const rows = first.entry.bucket === undefined ? first.entry.rows : size(bucket.rows, oldestOf(bucket));
      if (rows > 0) best = { bucket, rows };
    }
    if (!best) return [];
    const taken: Placed<E>[] = [];
    let rows = 0;
    for (const placed of best.bucket.placed) {
      if (taken.length > 0 && rows + placed.entry.rows > best.rows) break; // in order: nobody overtakes for being small
      taken.push(placed);
      rows += placed.entry.rows;
    }
    for (const { start } of taken) this.#time = Math.max(this.#time, start);
    this.#time += rows / this.#waitingByFlow.size;
    this.#takeOut(best.bucket, taken);
    return taken.map(({ entry }) => entry);
  }

  /** Earliest arrival in each bucket: when their delays end. */
  oldest(): readonly number[] {
    return [...this.#buckets.values()].map(oldestOf);
  }

  entries(): E[] {
    return [...this.#buckets.values()].flatMap(({ placed }) => placed.map(({ entry }) => entry));
  }

  #takeOut(bucket: Bucket<E>, out: readonly Placed<E>[]): void {
    for (const placed of out) {
      const { entry } = placed;
      bucket.placed.splice(bucket.placed.indexOf(placed), 1);
      bucket.rows -= entry.rows;
      this.#rows -= entry.rows;
      this.#length--;
      const flow = flowOf(entry);
      const left = this.#waitingByFlow.get(flow)! - 1;
      if (left > 0) this.#waitingByFlow.set(flow, left);
      else this.#waitingByFlow.delete(flow);
      if (bucket.placed.length === 0) this.#buckets.delete(entry.bucket ?? entry);
    }
  }

  #sweep(): void {
    for (const [flow, finished] of this.#finished) if (finished <= this.#time) this.#finished.delete(flow);
  }
}

const flowOf = ({ client, level }: QueueEntry): string => `${level}/${client}`;

const before = <E>(a: Placed<E>, b: Placed<E>): boolean => a.order < b.order || (a.order === b.order && a.sequence < b.sequence);

function oldestOf<E extends QueueEntry>({ placed }: Bucket<E>): number {
  return placed.reduce((oldest, { entry }) => Math.min(oldest, entry.arrived), Infinity);
}

/** Where it stands in order: after all that are before it. */
function placeOf<E>(placed: readonly Placed<E>[], one: Placed<E>): number {
  let low = 0;
  let high = placed.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(one, placed[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}
