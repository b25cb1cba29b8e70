/** Tokens of texts as columns: filled up to the longest behind a mask, with what else such models read. */
import { DenseTensor, denseOf } from '@penjing/core';
import type { Tokenizer } from '@penjing/runtime';
import type { ModelInputs } from '../feeds/model-inputs.js';
import { tokenLength } from '../feeds/text-feeds.js';

/** What else a model reads beside its tokens, the same for every sample: (1, length). */
export function besideTokens(inputs: ModelInputs, length: number): [string, DenseTensor][] {
  const values: Readonly<Record<string, (i: number) => number>> = { attention_mask: () => 1, position_ids: (i) => i, token_type_ids: () => 0 };
  return inputs.all.flatMap(({ name, dtype }) => {
    const value = values[name];
    return value ? [[name, denseOf(dtype, [1, length], Array.from({ length }, (_, i) => value(i)))] as [string, DenseTensor]] : [];
  });
}

/** (rows, tokens) each; (1, tokens) for what is the same for all. */
export function tokenColumns(rows: readonly (readonly number[])[], inputs: ModelInputs, tokenizer: Pick<Tokenizer, 'idOf'>): Map<string, DenseTensor> {
  const width = tokenLength(inputs) ?? rows.reduce((most, row) => Math.max(most, row.length), 1);
  const fill = ['[PAD]', '<pad>', '<|pad|>'].map((token) => tokenizer.idOf(token)).find((id) => id !== undefined) ?? 0;
  const table = (value: (row: readonly number[], place: number) => number): DenseTensor => DenseTensor.of('int64', [rows.length, width], BigInt64Array.from({ length: rows.length * width }, (_, i) => BigInt(value(rows[Math.floor(i / width)]!, i % width))));
  const columns = new Map([...besideTokens(inputs, width), ['input_ids', table((row, place) => row[place] ?? fill)] as const]);
  if (columns.has('attention_mask')) columns.set('attention_mask', table((row, place) => (place < row.length ? 1 : 0)));
  return columns;
}
