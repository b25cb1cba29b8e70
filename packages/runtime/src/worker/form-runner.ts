/** Runs a decoder in the form for generation on rows of a cache. */
import type { DecoderForm } from '../generate/generation-form.js';
import type { CacheRows } from './cache-rows.js';
import { type LogitRows, logitRows } from './logits.js';
import type { SessionTable } from './session-table.js';
import type { OrtTensor } from './tensors.js';

export class FormRunner {
  readonly form: DecoderForm;
  readonly #sessions: SessionTable;
  readonly #handle: number;
  readonly #fetches: readonly string[];

  constructor(sessions: SessionTable, handle: number, form: DecoderForm) {
    this.#sessions = sessions;
    this.#handle = handle;
    this.form = form;
    this.#fetches = ['logits', ...form.layers.flatMap(({ newKey, newValue }) => [newKey, newValue])];
  }

  get api(): SessionTable['api'] {
    return this.#sessions.api;
  }

  /** Appends tokens to each row of the cache, which may be of different number; gives the logits of the last `last` of each row (one number for all, or one for each), row after row. */
  async forward(rows: CacheRows, tokens: readonly ArrayLike<number>[], last: number | readonly number[] = 1): Promise<LogitRows> {
    const counts = tokens.map(({ length }) => length);
    const [batch, count] = [tokens.length, Math.max(...counts)];
    // Rows are filled up with their last token, at its own place: nothing reads what that gives.
    const ints = (at: (row: number, i: number) => number): OrtTensor =>
      new this.api.Tensor('int64', BigInt64Array.from({ length: batch * count }, (_, i) => BigInt(at(Math.floor(i / count), Math.min(i % count, counts[Math.floor(i / count)]! - 1)))), [batch, count]);
    const wanted = (row: number): number => (typeof last === 'number' ? last : last[row]!);
    const asked = counts.flatMap((own, row) => Array.from({ length: wanted(row) }, (_, i) => row * count + own - wanted(row) + i));
    const feeds = rows.feeds(count);
    feeds['input_ids'] = ints((row, i) => tokens[row]![i]!);
    feeds['logit_rows'] = new this.api.Tensor('int64', BigInt64Array.from(asked, BigInt), [asked.length]);
    if (this.form.positions) feeds['position_ids'] = ints((row, i) => rows.lengths[row]! + i);
    const fetched = await this.#sessions.run(this.#handle, feeds, this.#fetches);
    rows.append(fetched, counts);
    return logitRows(fetched['logits']!);
  }
}
