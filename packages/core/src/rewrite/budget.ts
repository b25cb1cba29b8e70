/** How many bytes folding may still add, so that the file never grows in all. */

/** A single fold never adds more than this, whatever was saved elsewhere: stored zeros are no gain. */
const LARGEST_GROWTH = 4096;

/** What a generous run may add by one fold, to see whether what becomes superfluous makes up for it. */
export const LARGEST_TRIED = 256 << 10;

export class Budget {
  #left: number;
  readonly #slack: number;
  readonly #largest: number;
  #refused = false;

  /** `left` bytes may be added in all, Infinity lets everything through; `slack` more by any single fold, as a first step of a chain; `largest` is the most for one. */
  constructor(left: number, slack = 0, largest = LARGEST_GROWTH) {
    this.#left = left;
    this.#slack = slack;
    this.#largest = largest;
  }

  /** Something was not folded that a larger budget might let through. */
  get refused(): boolean {
    return this.#refused;
  }

  /** `growth` is negative for a fold that saves bytes. */
  allows(growth: number): boolean {
    const allowed = growth <= this.#slack || this.#left === Infinity || (growth <= this.#largest && growth <= this.#left);
    this.#refused ||= !allowed && growth <= LARGEST_TRIED;
    return allowed;
  }

  /** What is saved is not given out again in the same round: estimates of it may count twice. */
  spend(growth: number): void {
    this.#left -= Math.max(0, growth);
  }

  copy(): Budget {
    return new Budget(this.#left, this.#slack, this.#largest);
  }

  /** Refuses what the other one refused. */
  remember(other: Budget): void {
    this.#refused ||= other.#refused;
  }

  take(other: Budget): void {
    this.#left = other.#left;
    this.remember(other);
  }
}
