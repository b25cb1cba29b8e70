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

  /** Appends as many tokens to each row of the cache; gives the logits of the last `last` of each, row after row. */
  async forward(rows: CacheRows, tokens: readonly ArrayLike<number>[], last = 1): Promise<LogitRows> {
    const [batch, count] = [tokens.length, tokens[0]!.length];
    const ints = (shape: readonly number[], at: (row: number, i: number) => number): OrtTensor => {
      const width = shape.at(-1)!;
      return new this.api.Tensor('int64', BigInt64Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, i) => BigInt(at(Math.floor(i / width), i % width))), shape);
    };
    const feeds = rows.feeds(count);
    feeds['input_ids'] = ints([batch, count], (row, i) => tokens[row]![i]!);
    feeds['logit_rows'] = ints([batch * last], (_, i) => (Math.floor(i / last) + 1) * count - last + (i % last));
    if (this.form.positions) feeds['position_ids'] = ints([batch, count], (row, i) => rows.lengths[row]! + i);
    const fetched = await this.#sessions.run(this.#handle, feeds, this.#fetches);
    rows.append(fetched, count);
    return logitRows(fetched['logits']!);
  }
}
