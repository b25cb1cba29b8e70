/** Cuts a file of lines into stretches with their hashes, read once and a little at a time. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { PenjingError } from '@penjing/core';
import { ioError } from '@penjing/graph-io/node';
import type { Stretch } from './batch-job.js';

/** A line is in memory whole; a context of a million tokens has some 4 MB of text. */
export const LONGEST_LINE = 2 ** 26;
/** Of a stretch: its results are in memory too. */
const MOST_BYTES = 4 * 2 ** 20;
const END = 0x0a;

/** Blank lines are no rows. Throws `E_LIMIT` for a line that is too long. */
export async function* cutLines(path: string, rows: number, signal?: AbortSignal): AsyncGenerator<Stretch, void, undefined> {
  let hash = createHash('sha256');
  let [start, at, row, count, line, blank] = [0, 0, 0, 0, 0, true];
  const cut = (): Stretch => {
    const stretch = { start, end: at, row, rows: count, sha256: hash.digest('hex') };
    hash = createHash('sha256');
    [start, row, count] = [at, row + count, 0];
    return stretch;
  };
  try {
    for await (const chunk of createReadStream(path, { ...(signal && { signal }), highWaterMark: 2 ** 18 }) as AsyncIterable<Buffer>) {
      let from = 0;
      while (from < chunk.length) {
        const found = chunk.indexOf(END, from);
        const to = found === -1 ? chunk.length : found + 1;
        const part = chunk.subarray(from, to);
        hash.update(part);
        line += part.length;
        if (line > LONGEST_LINE) throw new PenjingError('E_LIMIT', `${path}: row ${row + count + 1} takes more than ${LONGEST_LINE} bytes`);
        blank &&= part.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d));
        at += part.length;
        from = to;
        if (found === -1) continue;
        if (!blank) count++;
        [line, blank] = [0, true];
        if (count >= rows || at - start >= MOST_BYTES) yield cut();
      }
    }
  } catch (cause) {
    signal?.throwIfAborted();
    throw ioError(cause, path);
  }
  if (!blank) count++;
  if (at > start) yield cut();
}
