/** A number of places that callers take and give back, first come, first served. */
import { PenjingError } from '@penjing/core';

interface Waiter {
  readonly enter: () => void;
  readonly refuse: (why: Error) => void;
}

export class Turns {
  #free: number;
  readonly #longest: number;
  readonly #waiting = new Set<Waiter>();

  /** `longest`: of the queue. */
  constructor(places: number, longest = Infinity) {
    this.#free = places;
    this.#longest = longest;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Resolves with a place. Throws `E_OVERLOADED` when the queue is full, and the reason of the signal or of `refuse`. */
  async take(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    if (this.#waiting.size >= this.#longest) throw new PenjingError('E_OVERLOADED', `${this.#waiting.size} requests wait for the stage already`, { hint: 'Ask again later.', details: { retryAfter: 1 } });
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => waiter.refuse(signal?.reason as Error);
      const settle = (then: () => void): void => {
        this.#waiting.delete(waiter);
        signal?.removeEventListener('abort', leave);
        then();
      };
      const waiter: Waiter = { enter: () => settle(resolve), refuse: (why) => settle(() => reject(why)) };
      this.#waiting.add(waiter);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }

  give(): void {
    const [next] = this.#waiting;
    if (next) next.enter();
    else this.#free++;
  }

  /** Sends away all who wait. */
  refuse(why: Error): void {
    for (const waiter of [...this.#waiting]) waiter.refuse(why);
  }
}
