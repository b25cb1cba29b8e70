/** How many bytes folding may still add, so that the file never grows in all. */

/** A single fold never adds more than this, whatever was saved elsewhere: stored zeros are no gain. */
const LARGEST_GROWTH = 4096;

export class Budget {
  #left: number;
  readonly #slack: number;

  /** `left` bytes may be added in all, Infinity lets everything through; `slack` more by any single fold, as a first step of a chain. */
  constructor(left: number, slack = 0) {
    this.#left = left;
    this.#slack = slack;
  }

  /** `growth` is negative for a fold that saves bytes. */
  allows(growth: number): boolean {
    return growth <= this.#slack || this.#left === Infinity || (growth <= LARGEST_GROWTH && growth <= this.#left);
  }

  /** What is saved is not given out again in the same round: estimates of it may count twice. */
  spend(growth: number): void {
    this.#left -= Math.max(0, growth);
  }

  copy(): Budget {
    return new Budget(this.#left, this.#slack);
  }

  take(other: Budget): void {
    this.#left = other.#left;
  }
}
