/** A decoder in the form for generation, one sequence. */
import type { DecoderForm } from '../generate/generation-form.js';
import { CacheRows } from './cache-rows.js';
import { FormRunner } from './form-runner.js';
import type { LogitRows } from './logits.js';
import type { SessionTable } from './session-table.js';

export class BufferedDecoder {
  readonly #runner: FormRunner;
  #rows: CacheRows;

  constructor(sessions: SessionTable, handle: number, form: DecoderForm) {
    this.#runner = new FormRunner(sessions, handle, form);
    this.#rows = this.#empty();
  }

  /** Tokens in the cache. */
  get length(): number {
    return this.#rows.lengths[0]!;
  }

  /** Bytes that the buffers take. */
  get cacheBytes(): number {
    return this.#rows.bytes;
  }

  /** Forgets the sequence. */
  reset(): void {
    this.#rows = this.#empty();
  }

  /** Appends tokens and gives the logits of the last `rows` of them. */
  forward(tokens: ArrayLike<number>, rows = 1): Promise<LogitRows> {
    return this.#runner.forward(this.#rows, [tokens], rows);
  }

  #empty(): CacheRows {
    const rows = new CacheRows(this.#runner.api, this.#runner.form);
    rows.add();
    return rows;
  }
}
