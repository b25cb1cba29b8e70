/** Guesses what a text goes on with, so that the model reads several tokens in one run: speculative decoding (Leviathan et al. 2023), whatever the guess. */
import { argmax } from '../generate/sampler.js';
import type { DecoderForm } from '../generate/generation-form.js';
import { CacheRows } from './cache-rows.js';
import { FormRunner } from './form-runner.js';
import type { SessionTable } from './session-table.js';
import { positionsOfForm } from './token-model.js';

/** How tokens are guessed, as plain data. */
export type Speculation = { readonly tokens: number } & (
  | { readonly ngram: number; readonly draft?: undefined }
  | { readonly draft: { readonly handle: number; readonly form: DecoderForm; readonly context: number | undefined }; readonly ngram?: undefined }
);

export interface Drafter {
  /** Up to `most` tokens that may follow `context`. */
  guess(context: readonly number[], most: number): Promise<readonly number[]>;
}

export function createDrafter(sessions: SessionTable, { ngram, draft }: Speculation): Drafter {
  return draft ? new ModelDrafter(sessions, draft.handle, draft.form, draft.context) : { guess: (context, most) => Promise.resolve(lookUp(context, ngram, most)) };
}

/**
 * What followed the last occurrence of the last tokens (prompt look-up decoding, Saxena 2023): of the last `ngram` of them, or fewer down to 2, as far as they are found.
 * The last occurrence may overlap the end, so that a text that repeats itself is guessed to go on doing so.
 */
export function lookUp(context: readonly number[], ngram: number, most: number): readonly number[] {
  for (let length = Math.min(ngram, context.length - 1); length >= Math.min(2, ngram); length--) {
    const tail = context.length - length;
    for (let start = tail - 1; start >= 0; start--) {
      let same = 0;
      while (same < length && context[start + same] === context[tail + same]) same++;
      if (same < length) continue;
      const found: number[] = [];
      // Beyond the end it goes on with what was guessed itself.
      while (found.length < most) found.push(start + length + found.length < context.length ? context[start + length + found.length]! : found[found.length - (tail - start)]!);
      return found;
    }
  }
  return [];
}

/** A smaller model with the same tokens; it reads what the larger one decided, and takes back what that refused. */
class ModelDrafter implements Drafter {
  readonly #runner: FormRunner;
  readonly #rows: CacheRows;
  readonly #context: number;
  readonly #positionsPerRun: (read: number) => number;
  /** Tokens in the cache. */
  #seen: number[] = [];

  constructor(sessions: SessionTable, handle: number, form: DecoderForm, context: number | undefined) {
    this.#runner = new FormRunner(sessions, handle, form);
    this.#rows = new CacheRows(sessions.api, form);
    this.#rows.add();
    this.#context = context ?? Infinity;
    this.#positionsPerRun = positionsOfForm(form);
  }

  async guess(context: readonly number[], most: number): Promise<readonly number[]> {
    const room = Math.min(most, this.#context - context.length);
    if (room <= 0) return [];
    let known = 0;
    // The last token is read in any case, since what follows it is asked for.
    while (known < context.length - 1 && known < this.#seen.length && this.#seen[known] === context[known]) known++;
    this.#rows.shorten(0, known);
    this.#seen = context.slice(0, known);
    const guessed: number[] = [];
    for (let next = context.slice(known); guessed.length < room; next = [guessed.at(-1)!]) guessed.push(await this.#read(next));
    return guessed;
  }

  /** Appends tokens; gives the likeliest one after them. */
  async #read(tokens: readonly number[]): Promise<number> {
    for (let at = 0; ; ) {
      const piece = tokens.slice(at, at + this.#positionsPerRun(this.#seen.length));
      const logits = await this.#runner.forward(this.#rows, [piece]);
      this.#seen.push(...piece);
      at += piece.length;
      if (at === tokens.length) return argmax(logits.row(0));
    }
  }
}
