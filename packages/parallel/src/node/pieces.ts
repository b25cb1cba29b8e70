/** One request in pieces: each runs apart, the first error ends the others, outputs come together in order. */
import type { Feeds, Fetches, RowRange, RunOptions } from '@penjing/core';
import { type BatchAxes, cutFeeds, joinOutputs } from '../split/batch.js';
import { linkedAbort } from './linked-abort.js';

/** `run` is called for all pieces at once, in their order: what bounds them is behind it. */
export async function runPieces(feeds: Feeds, options: RunOptions, axes: BatchAxes | undefined, ranges: readonly RowRange[], run: (feeds: Feeds, options: RunOptions, rows: number) => Promise<Fetches>): Promise<Fetches> {
  const rows = ranges.at(-1)!.end;
  if (ranges.length === 1 || !axes) return run(feeds, options, rows);
  const { transfer: _transfer, signal: given, ...rest } = options;
  const { signal, end } = linkedAbort(given);
  try {
    const pieces = await Promise.all(ranges.map((range) => run(cutFeeds(feeds, axes, rows, range), { ...rest, signal }, range.end - range.start)));
    return joinOutputs(pieces, ranges, axes);
  } catch (error) {
    end('another piece of this batch');
    throw error;
  }
}
