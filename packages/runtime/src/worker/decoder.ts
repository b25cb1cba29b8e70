/** A causal language model with its key/value cache, one sequence, as the decoder layout of Optimum names it. */
import { PenjingError, typedView } from '@penjing/core';
import { type LogitRows, logitRows } from './logits.js';
import type { DecoderLayout } from './decoder-layout.js';
import type { SessionTable } from './session-table.js';
import { type OrtTensor, elementBytes } from './tensors.js';

export class Decoder {
  readonly layout: DecoderLayout;
  readonly #sessions: SessionTable;
  readonly #handle: number;
  /** Keys and values of the tokens seen, (1, kvHeads, length, headDim) each, by input name. */
  #past: Record<string, OrtTensor> = {};
  /** Tokens so far; only kept for a model without a cache, which reads them all again at each step. */
  #seen: number[] = [];
  #length = 0;
  #mask = new BigInt64Array(0);

  constructor(sessions: SessionTable, handle: number, layout: DecoderLayout) {
    this.#sessions = sessions;
    this.#handle = handle;
    this.layout = layout;
    this.reset();
  }

  /** Tokens in the cache. */
  get length(): number {
    return this.#length;
  }

  /** Forgets the sequence. */
  reset(): void {
    this.#length = 0;
    this.#seen = [];
    for (const { past, heads, headDim, dtype } of this.layout.cache) {
      const empty = typedView(dtype, new Uint8Array(0));
      this.#past[past] = new this.#sessions.api.Tensor(dtype as 'float32', empty as Float32Array, [1, heads, 0, headDim]);
    }
  }

  /** Appends tokens and gives the logits of the last `rows` of them (fewer when the model itself gives fewer). */
  async forward(tokens: ArrayLike<number>, rows = tokens.length): Promise<LogitRows> {
    const cached = this.layout.cache.length > 0;
    if (!cached) this.#seen.push(...Array.from(tokens));
    const ids = cached ? tokens : this.#seen;
    const start = cached ? this.#length : 0;
    const end = start + ids.length;
    const fetched = await this.#sessions.run(this.#handle, this.#feeds(ids, start, end, rows), this.layout.fetches);
    for (const { past, present } of this.layout.cache) this.#past[past] = fetched[present]!;
    this.#length = end;
    const logits = logitRows(fetched['logits']!);
    if (logits.count < Math.min(rows, ids.length) && rows > 1) {
      throw new PenjingError('E_UNSUPPORTED', `the model gives logits for ${logits.count} of ${ids.length} positions`, {
        hint: 'Measure a variant of the model that was exported with the logits of every position.',
      });
    }
    return logits.last(rows);
  }

  #feeds(ids: ArrayLike<number>, start: number, end: number, rows: number): Record<string, OrtTensor> {
    const { Tensor } = this.#sessions.api;
    const int64 = (count: number, at: (i: number) => number, dims: readonly number[]): OrtTensor =>
      new Tensor('int64', BigInt64Array.from({ length: count }, (_, i) => BigInt(at(i))), dims);
    const feeds: Record<string, OrtTensor> = { ...this.#past };
    feeds['input_ids'] = int64(ids.length, (i) => ids[i]!, [1, ids.length]);
    const { optional } = this.layout;
    if (optional.has('attention_mask')) feeds['attention_mask'] = new Tensor('int64', this.#ones(end), [1, end]);
    if (optional.has('position_ids')) feeds['position_ids'] = int64(ids.length, (i) => start + i, [1, ids.length]);
    if (optional.has('token_type_ids')) feeds['token_type_ids'] = int64(ids.length, () => 0, [1, ids.length]);
    // Exports of 2025 and later can leave out the logits nobody asked for; 0 means all of them.
    if (optional.has('num_logits_to_keep')) feeds['num_logits_to_keep'] = int64(1, () => rows, []);
    if (optional.has('use_cache_branch')) feeds['use_cache_branch'] = new Tensor('bool', Uint8Array.of(start > 0 ? 1 : 0), [1]);
    return feeds;
  }

  /** A mask of ones; one buffer, since making it anew would cost more than the rest of a step when the text is long. */
  #ones(count: number): BigInt64Array {
    if (this.#mask.length < count) this.#mask = new BigInt64Array(2 * count).fill(1n);
    return this.#mask.subarray(0, count);
  }

  /** Bytes that the cache takes now. */
  get cacheBytes(): number {
    let bytes = 0;
    for (const { past, dtype } of this.layout.cache) bytes += this.#past[past]!.size * elementBytes(dtype);
    return bytes;
  }
}
