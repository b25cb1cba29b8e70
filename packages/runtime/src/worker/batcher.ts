/** Continuous batching: texts that are written at the same time share the runs of their decoder, and join and leave at tokens. */
import { PenjingError } from '@penjing/core';
import type { Drawn } from '../generate/sampler.js';
import { CacheRows } from './cache-rows.js';
import type { Drafter, Speculation } from './drafts.js';
import { createDrawer, type Drawer, type Next } from './drawer.js';
import type { FormRunner } from './form-runner.js';
import type { GenerateResult, WriteParams } from './generate.js';
import { PREFIX_BYTES, PrefixCache } from './prefix-cache.js';

/** As Yu et al. 2022 (Orca) schedule iterations. Rows of a run cost little beside its weights, up to about this many. */
const MOST_ROWS = 8;
/** A prompt is read in pieces of this many tokens while others wait for their next one. */
const PIECE_BESIDE_OTHERS = 128;
/** Tokens of a run with guesses: from here on they cost as much as they bring. */
const MOST_GUESSED = 16;

type Runner = Pick<FormRunner, 'api' | 'form' | 'forward'>;

export interface BatcherOptions {
  /** What guesses for a text. */
  readonly drafter?: (speculation: Speculation) => Drafter | undefined;
  /** What keys and values of texts that were read before may take; 0 keeps none. */
  readonly prefixBytes?: number | undefined;
}

export interface Writing {
  readonly signal: AbortSignal;
  /** Each token that is part of the text. */
  readonly onToken: (drawn: Drawn) => void;
}

interface Text extends Writing {
  readonly params: WriteParams;
  readonly drawer: Drawer;
  /** Prompt and answer. */
  readonly context: number[];
  readonly resolve: (result: GenerateResult) => void;
  readonly reject: (error: unknown) => void;
  readonly started: number;
  readonly drafter: Drafter | undefined;
  prefilled: number;
  written: number;
  drafted: number;
  accepted: number;
}

/** A prompt that is being read: its own row, until it joins the others. */
interface Reading {
  readonly text: Text;
  readonly rows: CacheRows;
}

export class Batcher {
  readonly #runner: Runner;
  readonly #positionsPerRun: (read: number) => number;
  readonly #drafter: (speculation: Speculation) => Drafter | undefined;
  readonly #rows: CacheRows;
  /** By row. */
  readonly #writing: Text[] = [];
  /** Undefined keeps none. */
  readonly #prefixes: PrefixCache | undefined;
  #waiting: Text[] = [];
  #reading: Reading | undefined;
  #running = false;

  constructor(runner: Runner, positionsPerRun: (read: number) => number, { drafter = () => undefined, prefixBytes = PREFIX_BYTES }: BatcherOptions = {}) {
    this.#runner = runner;
    this.#drafter = drafter;
    this.#prefixes = prefixBytes > 0 ? new PrefixCache(prefixBytes) : undefined;
    this.#positionsPerRun = positionsPerRun;
    this.#rows = new CacheRows(runner.api, runner.form);
  }

  /** Sequences that are in it in any state. */
  get size(): number {
    return this.#waiting.length + this.#writing.length + (this.#reading ? 1 : 0);
  }

  /** Of the texts that are being written. */
  get bytes(): number {
    return this.#rows.bytes + (this.#reading?.rows.bytes ?? 0);
  }

  write(params: Text['params'], writing: Writing): Promise<GenerateResult> {
    return new Promise((resolve, reject) => {
      const started = performance.now();
      this.#waiting.push({ ...writing, params, drawer: createDrawer(params), context: [...params.prompt], resolve, reject, started, drafter: params.speculation && this.#drafter(params.speculation), prefilled: started, written: 0, drafted: 0, accepted: 0 });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.size > 0) {
        this.#dropCancelled();
        await this.#read();
        await this.#step();
      }
    } catch (error) {
      this.#failAll(error);
    } finally {
      this.#running = false;
    }
  }

  #dropCancelled(): void {
    this.#waiting = this.#waiting.filter((text) => !text.signal.aborted || (end(text, 'cancelled', 0), false));
    if (this.#reading?.text.signal.aborted) {
      end(this.#reading.text, 'cancelled', this.#reading.rows.bytes);
      this.#reading = undefined;
    }
    for (let row = this.#writing.length - 1; row >= 0; row--) if (this.#writing[row]!.signal.aborted) this.#leave(row, 'cancelled');
  }

  /** A piece of the next prompt. */
  async #read(): Promise<void> {
    if (!this.#reading && this.#waiting.length > 0 && this.#writing.length < (this.#runner.form.alone ? 1 : MOST_ROWS)) this.#begin(this.#waiting.shift()!);
    if (!this.#reading) return;
    const { text, rows } = this.#reading;
    const { prompt } = text.params;
    const at = rows.lengths[0]!;
    const most = this.#writing.length > 0 ? Math.min(PIECE_BESIDE_OTHERS, this.#positionsPerRun(at)) : this.#positionsPerRun(at);
    const next = Math.min(prompt.length, at + most);
    const logits = await this.#runner.forward(rows, [prompt.slice(at, next)]);
    if (next < prompt.length) return;
    text.prefilled = performance.now();
    this.#rows.add({ rows, row: 0, length: next });
    this.#writing.push(text);
    this.#reading = undefined;
    this.#prefixes?.put(prompt, rows);
    this.#take(this.#writing.length - 1, logits.row(0), next);
  }

  /** A prompt that there is no room for is the matter of its text alone. */
  #begin(text: Text): void {
    const { prompt } = text.params;
    const rows = new CacheRows(this.#runner.api, this.#runner.form);
    const known = this.#prefixes?.find(prompt);
    try {
      rows.add(known && { rows: known.rows, row: 0, length: known.length }, prompt.length);
      this.#reading = { text, rows };
    } catch (cause) {
      refuse(text, new PenjingError('E_MEMORY', `there is no room for the keys and values of ${prompt.length} tokens`, { cause, hint: 'Ask for fewer texts at the same time, or shorten the prompt.' }));
    }
  }

  /** The next token of everybody, or several of those whose tokens were guessed. */
  async #step(): Promise<void> {
    if (this.#writing.length === 0) return;
    const guesses = await this.#guesses();
    if (this.#writing.length === 0) return;
    const logits = await this.#runner.forward(this.#rows, this.#writing.map(({ context }, row) => [context.at(-1)!, ...guesses[row]!]), guesses.map(({ length }) => length + 1));
    let end = logits.count;
    // Back to front: the last row takes the place of one that leaves.
    for (let row = this.#writing.length - 1; row >= 0; row--) {
      const guessed = guesses[row]!;
      end -= guessed.length + 1;
      const before = this.#rows.lengths[row]! - guessed.length;
      // Each guess is right when it is what is drawn, by whatever rule: the text is the one that would be written without.
      for (let i = 0; i <= guessed.length; i++) {
        // What follows was read after a guess that has not been drawn yet.
        const drawn = this.#take(row, logits.row(end + i), before + i);
        if (drawn === undefined) break;
        if (drawn === guessed[i]) this.#writing[row]!.accepted++;
        else {
          this.#rows.shorten(row, before + i);
          break;
        }
      }
    }
  }

  /** By row. A draft that fails is the matter of its text alone. */
  async #guesses(): Promise<(readonly number[])[]> {
    const guesses = this.#writing.map((): readonly number[] => []);
    for (let row = this.#writing.length - 1; row >= 0; row--) {
      const text = this.#writing[row]!;
      try {
        guesses[row] = await this.#guess(text);
      } catch (error) {
        guesses[row] = guesses.at(-1)!;
        guesses.pop();
        this.#remove(row);
        refuse(text, error);
      }
    }
    return guesses;
  }

  /** Tokens that may come next, for a text that is alone: rows of several tokens do not share a run. */
  async #guess(text: Text): Promise<readonly number[]> {
    const { speculation, maxNewTokens } = text.params;
    const most = Math.min(speculation?.tokens ?? 0, MOST_GUESSED - 1, maxNewTokens - text.written - 1);
    if (!text.drafter || most <= 0 || this.#runner.form.alone || this.#writing.length > 1) return [];
    const guessed = await text.drafter.guess(text.context, most);
    text.drafted += guessed.length;
    return guessed;
  }

  /** Draws a token for a row whose first `length` tokens are right; undefined when the text has ended. */
  #take(row: number, logits: Float32Array, length: number): number | undefined {
    const text = this.#writing[row]!;
    let next: Next;
    try {
      next = text.drawer.next(logits, text.context);
    } catch (error) {
      this.#remove(row);
      refuse(text, error);
      return undefined;
    }
    if (next.finish) {
      this.#leave(row, next.finish, length, next.endToken);
      return undefined;
    }
    text.context.push(next.token);
    text.written++;
    text.onToken(next.drawn);
    if (text.written < text.params.maxNewTokens) return next.token;
    this.#leave(row, 'length', length);
    return undefined;
  }

  #leave(row: number, finish: GenerateResult['finish'], length = this.#rows.lengths[row]!, endToken?: number): void {
    const text = this.#writing[row]!;
    // What was written is often the beginning of the next question.
    if (this.#prefixes) {
      const kept = new CacheRows(this.#runner.api, this.#runner.form);
      kept.add({ rows: this.#rows, row, length });
      this.#prefixes.put(text.context.slice(0, length), kept);
    }
    this.#remove(row);
    end(text, finish, length * this.#rows.tokenBytes, endToken);
  }

  #remove(row: number): void {
    this.#rows.remove(row);
    const last = this.#writing.pop()!;
    if (row < this.#writing.length) this.#writing[row] = last;
  }

  /** A run that fails is everybody's. */
  #failAll(error: unknown): void {
    const texts = [...this.#waiting, ...(this.#reading ? [this.#reading.text] : []), ...this.#writing];
    this.#waiting = [];
    this.#reading = undefined;
    while (this.#writing.length > 0) this.#remove(this.#writing.length - 1);
    for (const text of texts) refuse(text, error);
  }
}

function refuse({ drawer, reject }: Text, error: unknown): void {
  drawer.close();
  reject(error);
}

function end({ started, prefilled, drawer, resolve, params, drafted, accepted }: Text, finish: GenerateResult['finish'], cacheBytes: number, endToken?: number): void {
  drawer.close();
  resolve({ finish, ...(endToken !== undefined && { endToken }), prefillMs: prefilled - started, decodeMs: performance.now() - prefilled, cacheBytes, ...(params.speculation && { speculation: { drafted, accepted } }) });
}
