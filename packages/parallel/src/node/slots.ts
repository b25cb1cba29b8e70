/** A bounded number of places that are given back once, however often that is said. */
import { Turns } from '../jobs/turns.js';

export class Slots {
  readonly #turns: Turns;

  constructor(count: number) {
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
}
