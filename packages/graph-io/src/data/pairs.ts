/** Pairs of texts in tables and JSON lines: what their columns are called. */
import { PenjingError } from '@penjing/core';
import type { DataContent } from './data-source.js';

/** As sentence-transformers, and the benchmarks of similarity, name them. */
const NAMES: readonly (readonly [string, string])[] = [['anchor', 'positive'], ['sentence1', 'sentence2'], ['query', 'answer'], ['question', 'answer']];
const SCORES = ['score', 'similarity'];

export interface PairColumns {
  readonly names: readonly [string, string];
  readonly score: string | undefined;
}

/** Undefined for columns that are no pairs. */
export function pairColumns(columns: Iterable<string>): PairColumns | undefined {
  const known = new Set(columns);
  const names = NAMES.find((pair) => pair.every((name) => known.has(name)));
  return names && { names, score: SCORES.find((name) => known.has(name)) };
}

/** Throws `E_DATA` for a text that is none, and for a score that is no number. */
export function pairOf({ names, score: scoreName }: PairColumns, fields: Readonly<Record<string, unknown>>, where: string): DataContent {
  const texts = names.map((name) => {
    const text = fields[name];
    if (typeof text !== 'string' || text.trim() === '') throw new PenjingError('E_DATA', `${where} has no text ${name}`);
    return text;
  }) as [string, string];
  if (scoreName === undefined) return { kind: 'pair', texts };
  const given = fields[scoreName];
  const score = typeof given === 'string' && given.trim() !== '' ? Number(given) : given;
  if (typeof score !== 'number' || !Number.isFinite(score)) throw new PenjingError('E_DATA', `${where} has no number ${scoreName}`);
  return { kind: 'pair', texts, score };
}
