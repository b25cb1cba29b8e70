/** How fast a model works, as measured: what `Retry-After` and hopeless deadlines are told from. */

/** Weight of what was known before each new batch: the last twenty or so count. */
const KEPT = 0.9;
/** Fewer batches say too little to refuse anybody by. */
const ENOUGH = 8;
/** The official OpenAI clients ignore a Retry-After of more than a minute. */
const MOST_SECONDS = 60;

export class ServiceRate {
  #rows = 0;
  #ms = 0;
  #batches = 0;

  observe(rows: number, ms: number): void {
    this.#rows = this.#rows * KEPT + rows;
    this.#ms = this.#ms * KEPT + ms;
    this.#batches++;
  }

  /** Enough batches were seen to rely on it. */
  get known(): boolean {
    return this.#batches >= ENOUGH;
  }

  /** Milliseconds that `rows` take when `lanes` batches run at a time; undefined before the first batch. */
  msFor(rows: number, lanes: number): number | undefined {
    return this.#rows > 0 ? (rows * this.#ms) / this.#rows / lanes : undefined;
  }

  /** Whole seconds after which a queue of `rows` is likely to be worked off, 1 to 60. */
  retryAfter(rows: number, lanes: number): number {
    return Math.max(1, Math.min(MOST_SECONDS, Math.ceil((this.msFor(rows, lanes) ?? 1000) / 1000)));
  }
}
