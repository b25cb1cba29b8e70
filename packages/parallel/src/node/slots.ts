/** A bounded number of places that are given back once, however often that is said. */
import { Turns } from '../jobs/turns.js';

export class Slots {
  readonly #turns: Turns;
  readonly #count: number;

  constructor(count: number) {
    this.#count = count;
    this.#turns = new Turns(count);
  }

  /** Gives what frees the place again. First come, first served; who gives up leaves the line. */
  async take(signal?: AbortSignal): Promise<() => void> {
    await this.#turns.take(signal);
    let held = true;
    return () => {
      if (held) this.#turns.give();
      held = false;
    };
  }

  /** All places, once those who have them now gave them back. Who calls this has none. */
  async takeAll(signal?: AbortSignal): Promise<() => void> {
    // Asked for together they come together: nobody else gets one between them, and two who want all do not wait for each other.
    const settled = await Promise.allSettled(Array.from({ length: this.#count }, () => this.take(signal)));
    const free = (): void => settled.forEach((one) => one.status === 'fulfilled' && one.value());
    for (const one of settled) {
      if (one.status === 'fulfilled') continue;
      free();
      throw one.reason;
    }
    return free;
  }
}
