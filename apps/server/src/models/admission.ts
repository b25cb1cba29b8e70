/** How many requests a model works on, and how many wait for it: what is more is refused at once, with when to come back. */
import { PenjingError } from '@penjing/core';

export interface AdmissionLimits {
  readonly maxConcurrent: number;
  readonly maxQueue: number;
}

interface Waiting {
  readonly begin: () => void;
}

/** Weight of the newest request in the measured time that requests take. */
const NEWEST = 0.2;
/** The official clients ignore a Retry-After of more than a minute. */
const MOST_SECONDS = 60;

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #now: () => number;
  #waiting: Waiting[] = [];
  #active = 0;
  /** Milliseconds that a request takes. */
  #usual: number | undefined;

  constructor(limits: AdmissionLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  get active(): number {
    return this.#active;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** The next one would be refused. */
  get full(): boolean {
    return this.#active >= this.#limits.maxConcurrent && this.#waiting.length >= this.#limits.maxQueue;
  }

  /** Seconds until a place in the queue is likely to be free, from the rate at which requests were served. */
  get retryAfter(): number {
    const usual = this.#usual ?? 1000;
    return Math.max(1, Math.min(MOST_SECONDS, Math.ceil(((this.#waiting.length + 1) * usual) / this.#limits.maxConcurrent / 1000)));
  }

  /** Runs `work` when its turn comes. Throws `E_OVERLOADED` at once when the queue is full; one that is cancelled leaves it at once. `onBegin` is told how long it waited. */
  async run<T>(work: () => Promise<T>, { signal, onBegin }: { readonly signal?: AbortSignal | undefined; readonly onBegin?: (waitedMs: number) => void } = {}): Promise<T> {
    const asked = this.#now();
    await this.#enter(signal);
    const begun = this.#now();
    onBegin?.(begun - asked);
    try {
      const result = await work();
      const took = this.#now() - begun;
      this.#usual = this.#usual === undefined ? took : this.#usual + NEWEST * (took - this.#usual);
      return result;
    } finally {
      this.#active--;
      this.#waiting.shift()?.begin();
    }
  }

  #enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#active < this.#limits.maxConcurrent) {
      this.#active++;
      return Promise.resolve();
    }
    if (this.#waiting.length >= this.#limits.maxQueue) {
      throw new PenjingError('E_OVERLOADED', `${this.#waiting.length} requests wait for the model already`, { hint: 'Ask again later, or give the model a longer queue (maxQueue).', details: { retryAfter: this.retryAfter } });
    }
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        begin: () => {
          signal?.removeEventListener('abort', leave);
          this.#active++;
          resolve();
        },
      };
      const leave = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        reject(signal!.reason as Error);
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiting);
    });
  }
}
