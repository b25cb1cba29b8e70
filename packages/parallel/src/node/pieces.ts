/** One request in pieces: each runs apart, the first error ends the others, outputs come together in order. */
import { setMaxListeners } from 'node:events';
import { type Feeds, type Fetches, PenjingError, type RowRange, type RunOptions } from '@penjing/core';
import { type BatchAxes, cutFeeds, joinOutputs } from '../split/batch.js';

/** `run` is called for all pieces at once, in their order: what bounds them is behind it. */
export async function runPieces(feeds: Feeds, options: RunOptions, axes: BatchAxes | undefined, ranges: readonly RowRange[], run: (feeds: Feeds, options: RunOptions, rows: number) => Promise<Fetches>): Promise<Fetches> {
  const rows = ranges.at(-1)!.end;
  if (ranges.length === 1 || !axes) return run(feeds, options, rows);
  const { transfer: _transfer, signal: given, ...rest } = options;
  const ended = new AbortController();
  setMaxListeners(0, ended.signal);
  const signal = given ? AbortSignal.any([given, ended.signal]) : ended.signal;
  try {
    const pieces = await Promise.all(ranges.map((range) => run(cutFeeds(feeds, axes, rows, range), { ...rest, signal }, range.end - range.start)));
    return joinOutputs(pieces, ranges, axes);
  } finally {
    ended.abort(new PenjingError('E_CANCELLED', 'another piece of this batch failed'));
  }
}
