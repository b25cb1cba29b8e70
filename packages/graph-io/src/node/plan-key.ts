/** The identity of a save: the same key means the same bytes at the same places, so a journal may be trusted. */
import { createHash } from 'node:crypto';
import { type ByteSource, EXPR_VERSION, type LazyTensor } from '@penjing/core';
import type { FileLayout } from '../layout.js';
import { fastCrc32 } from './fast-crc32.js';
import type { PlannedGroup } from './save-plan.js';
import { leafRanges } from './shared-sources.js';

/** Raised when a journal means something else than before. */
const JOURNAL_VERSION = 1;

/** `extra` distinguishes runs that the expressions do not: options, versions. */
export async function planKey(files: readonly FileLayout[], groups: readonly PlannedGroup[], extra: string): Promise<string> {
  const hash = createHash('sha256');
  const add = (value: unknown): void => void hash.update(`${JSON.stringify(value)}\n`);
  add([JOURNAL_VERSION, EXPR_VERSION, extra]);
  const sources = new Map<string, ByteSource>();
  const names = new Map<string, number>();
  for (const { name, size, pieces } of files) {
    add([name, size, pieces.length]);
    for (const piece of pieces) {
      if (piece.kind !== 'tensor') continue;
      add([piece.offset, piece.name, piece.tensor.dtype, piece.tensor.shape]);
      if (piece.tensor.kind === 'lazy') for (const [uri, source] of (piece.tensor as LazyTensor).sources) sources.set(uri, source);
    }
  }
  // Names of sources in memory are made up anew in every run: what counts is their number and their content.
  const stable = (key: string): string => {
    if (!names.has(key)) names.set(key, names.size);
    return `#${names.get(key)}`;
  };
  for (const { outputs, chunks, rows } of groups) {
    for (const { expr } of outputs) hash.update(JSON.stringify(expr, (field, value: unknown) => (field === 'source' && typeof value === 'string' ? stable(value) : value)));
    add([chunks, chunks > 0 ? rows(0) : []]);
  }
  for (const [uri, source] of sources) {
    add([stable(uri), source.descriptor]);
    if (source.descriptor.kind !== 'memory') continue;
    for (const group of groups) {
      for (const { key, offset, length } of leafRanges(group)) if (key === uri) add(fastCrc32(await source.read(offset, length)));
    }
  }
  return hash.digest('hex');
}
