/** Texts as one long row of tokens, and windows of it. */
import { PenjingError } from '@penjing/core';
import type { DataSource } from '@penjing/graph-io/data';
import type { Tokenizer } from '@penjing/runtime';

/** Characters that are tokenized at a time: whatever else the thread has to do comes in between. */
const PIECE = 1 << 16;

/** Documents one after the other, each ended by the token for it. Throws `E_DATA` for an item that is no text. */
export async function tokenStream(source: DataSource, tokenizer: Tokenizer, { signal, onProgress }: { readonly signal?: AbortSignal | undefined; readonly onProgress?: ((done: number, total: number) => void) | undefined }): Promise<Int32Array> {
  const end = tokenizer.eosToken === undefined ? undefined : tokenizer.idOf(tokenizer.eosToken);
  const chunks: Int32Array[] = [];
  for (let i = 0; i < source.count; i++) {
    const item = await source.item(i);
    if (item.kind !== 'text') throw new PenjingError('E_DATA', `item ${i} of the data is no text, the first one was`);
    const pieces = cut(item.text);
    for (const [index, piece] of pieces.entries()) {
      signal?.throwIfAborted();
      const tokens = tokenizer.encode(piece, { specialTokens: index === 0 });
      // some templates end texts themselves; the end comes once, behind the last piece
      if (index < pieces.length - 1 && tokens.at(-1) === end) tokens.pop();
      if (index === pieces.length - 1 && end !== undefined && tokens.at(-1) !== end) tokens.push(end);
      chunks.push(Int32Array.from(tokens));
      onProgress?.(source.count > 1 ? i : index, source.count > 1 ? source.count : pieces.length);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const all = new Int32Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** At line ends, where words end for every tokenizer. */
function cut(text: string): string[] {
  const pieces: string[] = [];
  for (let start = 0; start < text.length;) {
    const found = start + PIECE >= text.length ? -1 : text.indexOf('\n', start + PIECE);
    const end = found === -1 ? text.length : found;
    pieces.push(text.slice(start, end));
    start = end;
  }
  return pieces;
}

/** Rows of `length` tokens and the token after each: (windows, length) both. A text that is shorter is one row. Throws `E_DATA` for fewer than two tokens. */
export function trainingWindows(tokens: Int32Array, wanted: number, data = 'the data'): { readonly inputs: BigInt64Array<ArrayBuffer>; readonly labels: BigInt64Array<ArrayBuffer>; readonly count: number; readonly length: number } {
  if (tokens.length < 2) throw new PenjingError('E_DATA', `${data} has ${tokens.length} tokens: at least two are needed`, { hint: 'Give a longer text.' });
  const length = Math.min(wanted, tokens.length - 1);
  const count = Math.floor((tokens.length - 1) / length);
  const row = (ahead: number): BigInt64Array<ArrayBuffer> => BigInt64Array.from({ length: count * length }, (_, i) => BigInt(tokens[i + ahead]!));
  return { inputs: row(0), labels: row(1), count, length };
}
