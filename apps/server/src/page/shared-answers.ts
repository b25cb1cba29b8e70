/** Answers that cost a thread: shared by all who ask the same within some time, few at a time. */
import { PenjingError } from '@penjing/core';

export interface SharedAnswersOptions {
  /** Answers that are kept. */
  readonly kept: number;
  readonly forMs: number;
  /** Questions that are worked on at a time; more wait. */
  readonly running: number;
  readonly waiting: number;
}

export class SharedAnswers<T> {
  readonly #options: SharedAnswersOptions;
  readonly #answers = new Map<string, { readonly until: number; readonly answer: Promise<T> }>();
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(options: SharedAnswersOptions) {
    this.#options = options;
  }

  /** Throws `E_OVERLOADED` when too many wait. A failure is not kept. */
  get(key: string, ask: () => Promise<T>): Promise<T> {
    const known = this.#answers.get(key);
    if (known && known.until > performance.now()) return known.answer;
    const answer = this.#inTurn(ask);
    this.#answers.delete(key);
    this.#answers.set(key, { until: performance.now() + this.#options.forMs, answer });
    for (const old of [...this.#answers.keys()].slice(0, -this.#options.kept)) this.#answers.delete(old);
    answer.catch(() => this.#answers.get(key)?.answer === answer && this.#answers.delete(key));
    return answer;
  }

  async #inTurn(ask: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#options.running) {
      if (this.#queue.length >= this.#options.waiting) throw new PenjingError('E_OVERLOADED', 'too many models are looked at', { details: { retryAfter: 2 } });
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    }
    this.#running++;
    try {
      return await ask();
    } finally {
      this.#running--;
      this.#queue.shift()?.();
    }
  }
}
