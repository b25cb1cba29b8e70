/** Runs a decoder in the form for generation on rows of a cache. */
import { typedView } from '@penjing/core';
import type { DecoderForm } from '../generate/generation-form.js';
import type { CacheRows } from './cache-rows.js';
import { type LogitRows, logitRows } from './logits.js';
import type { SessionTable } from './session-table.js';
import { elementBytes, type OrtTensor } from './tensors.js';

export class FormRunner {
  readonly form: DecoderForm;
  readonly #sessions: SessionTable;
  readonly #handle: number;
  /** Where runs write their logits; it grows. */
  #logits = new Uint8Array(0);

  constructor(sessions: SessionTable, handle: number, form: DecoderForm) {
    this.#sessions = sessions;
    this.#handle = handle;
    this.form = form;
  }

  get api(): SessionTable['api'] {
    return this.#sessions.api;
  }

  /**
   * Appends tokens to each row of the cache; gives the logits of the last `last` of each row (one number for all, or one for each), row after row, valid until the next call. Rows that get one token each share a run;
   * rows that get several are run one by one.
   */
  async forward(rows: CacheRows, tokens: readonly ArrayLike<number>[], last: number | readonly number[] = 1): Promise<LogitRows> {
    const wanted = tokens.map((_, row) => (typeof last === 'number' ? last : last[row]!));
    const logits = this.#tensor(wanted.reduce((sum, count) => sum + count, 0));
    const together = tokens.every(({ length }) => length === 1);
    for (let row = 0, at = 0; row < tokens.length; at += wanted[row]!, row += together ? tokens.length : 1) {
      const piece = together ? tokens : [tokens[row]!];
      await this.#run(rows, row, piece, together ? logits : part(this.api, logits, at, wanted[row]!));
    }
    return logitRows(logits);
  }

  /** All rows get as many tokens; the last of each are asked for, as many as `into` has room for. */
  async #run(rows: CacheRows, first: number, tokens: readonly ArrayLike<number>[], into: OrtTensor): Promise<void> {
    const [batch, count] = [tokens.length, tokens[0]!.length];
    const ints = (at: (row: number, i: number) => number): OrtTensor =>
      new this.api.Tensor('int64', BigInt64Array.from({ length: batch * count }, (_, i) => BigInt(at(Math.floor(i / count), i % count))), [batch, count]);
    const asked = into.dims[0]! / batch;
    const cache = rows.tensors(first, batch, count);
    const feeds: Record<string, OrtTensor> = { ...cache.feeds, input_ids: ints((row, i) => tokens[row]![i]!) };
    feeds['logit_rows'] = new this.api.Tensor('int64', BigInt64Array.from({ length: batch * asked }, (_, i) => BigInt((Math.floor(i / asked) + 1) * count - asked + (i % asked))), [batch * asked]);
    if (this.form.positions) feeds['position_ids'] = ints((row, i) => rows.lengths[first + row]! + i);
    await this.#sessions.runInto(this.#handle, feeds, { ...cache.into, logits: into });
    rows.grow(first, batch, count);
  }

  #tensor(count: number): OrtTensor {
    const { dtype, vocabSize } = this.form.logits;
    const bytes = count * vocabSize * elementBytes(dtype);
    if (this.#logits.byteLength < bytes) this.#logits = new Uint8Array(bytes);
    return new this.api.Tensor(dtype as 'float32', typedView(dtype, this.#logits.subarray(0, bytes)) as Float32Array, [count, vocabSize]);
  }
}

/** Some rows of (count, width). */
function part(api: SessionTable['api'], { type, data, dims }: OrtTensor, first: number, count: number): OrtTensor {
  const width = dims[1]!;
  return new api.Tensor(type as 'float32', (data as Float32Array).subarray(first * width, (first + count) * width), [count, width]);
}
