/** What a text that is being written may go on with, told by the thread that holds its grammar. */
import type { MessagePort } from 'node:worker_threads';
import { grammarError } from './grammar-error.js';
import { MaskCells, type NextTokens } from './mask-cells.js';

/** As it comes from the calling thread. */
export interface MaskSource {
  readonly port: MessagePort;
  readonly cells: SharedArrayBuffer;
  /** Milliseconds that the others in a batch wait for it beyond `EACH_MS` for each token. */
  readonly patience: number;
}

/** What a token of an honest grammar may take: masks of 256,000 tokens take some 5 ms, and most of them pass beside the model's run. */
const EACH_MS = 25;

export class TextMask {
  readonly #port: MessagePort;
  readonly #cells: MaskCells;
  readonly #patience: number;
  /** What is left of it: it is used up by waiting, and comes back by `EACH_MS` with each token. */
  #left: number;
  #step = 0;

  constructor({ port, cells, patience }: MaskSource) {
    this.#port = port;
    this.#cells = new MaskCells(cells);
    this.#patience = this.#left = patience;
  }

  /**
   * Tokens that may come next; blocks until they are known, which they mostly are before they are asked for, since the grammar works while the model does.
   * Throws `E_GRAMMAR` when the grammar failed, takes too long or allows nothing.
   */
  next(): NextTokens {
    const from = performance.now();
    const found = this.#cells.read(this.#step, this.#left);
    this.#left = Math.min(this.#patience, this.#left + EACH_MS - (performance.now() - from));
    if (typeof found === 'string') throw grammarError(found);
    if (!found) throw stuck(this.#step, this.#patience);
    if (!found.open && !found.mayEnd) throw grammarError(`after ${this.#step} tokens the grammar allows no token and no end`, 'Some part of it can never be completed; a rule may contain itself without a way out.');
    return found;
  }

  /** Tells the grammar which one it was. */
  accept(token: number): void {
    this.#step++;
    this.#port.postMessage(token);
  }

  close(): void {
    this.#port.close();
  }
}

function stuck(step: number, patience: number): Error {
  return grammarError(`the grammar was stopped, because the others waited longer than ${patience} ms for it, after ${step} tokens`, 'It may be ambiguous: write it so that each text is made in one way.');
}
