/** What a model that embeds texts learns from: pairs of texts, or texts that a teacher embeds too. */
import { DenseTensor, denseOf, PenjingError, type TaskOptions } from '@penjing/core';
import type { DataSource } from '@penjing/graph-io/data';
import type { Tokenizer } from '@penjing/runtime';
import type { ModelInputs } from '../feeds/model-inputs.js';
import { encodeItem, tokenLength } from '../feeds/text-feeds.js';
import { tokenColumns } from './token-columns.js';

/** As Optimum and sentence-transformers name it. */
export const EMBEDDING = 'sentence_embedding';

export const embeds = (outputs: readonly string[]): boolean => outputs.includes(EMBEDDING);

/** Tokens of a text, when nobody says. */
const LONGEST_TEXT = 128;

export interface EmbeddedDataOptions extends TaskOptions {
  readonly data: string;
  readonly length?: number | undefined;
  readonly tokenizer: Tokenizer;
}

export interface EmbeddedData {
  /** Of pairs (pairs, 2, tokens), and `groups` or `scores`; of texts (texts, tokens). */
  readonly columns: Map<string, DenseTensor>;
  readonly size: number;
  readonly task: 'pairs' | 'texts';
  readonly scored: boolean;
}

/** Throws `E_DATA` for a model that gives no embedding, for scores that no cosine can be, and for a single pair. */
export async function embeddedColumns(outputs: readonly string[], source: DataSource, inputs: ModelInputs, { data, length, tokenizer, signal, onProgress }: EmbeddedDataOptions): Promise<EmbeddedData> {
  if (!embeds(outputs)) throw new PenjingError('E_DATA', `${data} has pairs of texts, and the model gives no ${EMBEDDING} but ${outputs.join(', ')}`, { hint: 'Convert it for --task sentence-similarity first: --pooling mean --normalize, where the folder says nothing.' });
  const most = tokenLength(inputs) ?? length ?? Math.min(LONGEST_TEXT, tokenizer.maxLength ?? LONGEST_TEXT);
  const texts: string[] = [];
  const scores: number[] = [];
  const { kind } = await source.item(0);
  for (let i = 0; i < source.count; i++) {
    const item = await source.item(i);
    if (item.kind !== kind) throw new PenjingError('E_DATA', `item ${i} of ${data} is ${item.kind}, the first one was ${kind}`);
    if (item.kind === 'pair') {
      texts.push(...item.texts);
      if (item.score !== undefined) scores.push(item.score);
      // one long text is as many as it has lines
    } else if (item.kind === 'text') texts.push(...(source.count === 1 ? item.text.split('\n').filter((line) => line.trim() !== '') : [item.text]));
  }
  const rows: number[][] = [];
  for (const [i, text] of texts.entries()) {
    rows.push(encodeItem(tokenizer, text, most));
    if (i % 256 !== 0) continue;
    signal?.throwIfAborted();
    onProgress?.({ phase: 'tokenize', done: i, total: texts.length, unit: 'texts' });
    await new Promise((resolve) => setImmediate(resolve));
  }
  const columns = tokenColumns(rows, inputs, tokenizer);
  if (kind !== 'pair') return { columns, size: texts.length, task: 'texts', scored: false };
  const size = source.count;
  const wrong = scores.findIndex((score) => score < -1 || score > 1);
  if (wrong !== -1) throw new PenjingError('E_DATA', `pair ${wrong} of ${data} has the score ${scores[wrong]}: cosines are from −1 to 1`, { hint: 'Divide scores by the highest: those from 0 to 5 by 5.' });
  if (size < 2) throw new PenjingError('E_DATA', `${data} has one pair: others are needed to tell it from`);
  for (const [name, column] of columns) columns.set(name, inPairs(column, size));
  if (scores.length > 0) columns.set('scores', denseOf('float32', [size], scores));
  else columns.set('groups', denseOf('int64', [size], groupsOf(texts)));
  return { columns, size, task: 'pairs', scored: scores.length > 0 };
}

/** (2 pairs, tokens) as (pairs, 2, tokens); what is the same for all as (1, 2, tokens). */
function inPairs({ dtype, shape: [rows = 1, ...inner], bytes }: DenseTensor, pairs: number): DenseTensor {
  if (rows === 2 * pairs) return new DenseTensor(dtype, [pairs, 2, ...inner], bytes);
  const twice = new Uint8Array(2 * bytes.byteLength);
  twice.set(bytes);
  twice.set(bytes, bytes.byteLength);
  return new DenseTensor(dtype, [1, 2, ...inner], twice);
}

/** Pairs that have a text in common are of one group, and so are those that have one in common with these. */
function groupsOf(texts: readonly string[]): number[] {
  const first = new Map<string, number>();
  const parents = Array.from({ length: texts.length / 2 }, (_, i) => i);
  const root = (pair: number): number => {
    let at = pair;
    while (parents[at] !== at) at = parents[at] = parents[parents[at]!]!;
    return at;
  };
  texts.forEach((text, i) => {
    const pair = Math.floor(i / 2);
    const known = first.get(text);
    if (known === undefined) first.set(text, pair);
    else parents[root(pair)] = root(known);
  });
  return parents.map((_, pair) => root(pair));
}
