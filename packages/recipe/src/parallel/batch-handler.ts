/** The worker's side of batch inference: runs a stretch of lines and puts the results into a file under their hash. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isPenjingError, PenjingError } from '@penjing/core';
import { ioError } from '@penjing/graph-io/node';
import type { Json } from '@penjing/parallel';
import type { BatchJobSpec, Piece } from './batch-job.js';
import type { Handler } from './handler.js';
import { openers, type RowRecord, type RowRunner } from './row-runner.js';

/** Models stay loaded between jobs, one for each job that runs at a time. */
export function batchHandler(): Handler {
  let key = '';
  let idle: RowRunner[] = [];
  const all = new Set<RowRunner>();

  const close = async (runner: RowRunner): Promise<void> => {
    all.delete(runner);
    await runner[Symbol.asyncDispose]();
  };

  return {
    async run(spec, { roots, threads, signal }) {
      const job = spec as unknown as BatchJobSpec;
      const { task, model, modelKey, options } = job;
      if (!Object.hasOwn(openers, task)) throw new PenjingError('E_TASK', `this worker knows no task ${JSON.stringify(task)}`);
      const lines = await readLines(await roots.find(job.input), job);
      const pieces = await roots.find(job.pieces);
      const wanted = JSON.stringify([model, modelKey, task, options]);
      if (wanted !== key) {
        // Another model: those of the one before are given up as they become idle.
        const old = idle;
        [key, idle] = [wanted, []];
        await Promise.all(old.map(close));
      }
      const runner = idle.pop() ?? (await openers[task](await roots.find(model), { options, threads }));
      all.add(runner);
      let records: RowRecord[];
      try {
        records = await runner.run(lines, job.row, signal);
      } catch (error) {
        // It may be what failed.
        await close(runner);
        throw error;
      }
      if (wanted === key) idle.push(runner);
      else await close(runner);
      return (await writePiece(pieces, records, job.row)) as unknown as Json;
    },
    [Symbol.asyncDispose]: async () => void (await Promise.all([...all].map(close))),
  };
}

/** Throws `E_SOURCE_CHANGED` for bytes that are not those the job was made for. */
async function readLines(path: string, { start, end, sha256, rows }: BatchJobSpec): Promise<string[]> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw ioError(cause, path);
  });
  try {
    const bytes = Buffer.alloc(end - start);
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await file.read(bytes, done, bytes.length - done, start + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    if (createHash('sha256').update(bytes).digest('hex') !== sha256) throw new PenjingError('E_SOURCE_CHANGED', `${path} is not what it was when the run began`, { hint: 'Let nothing write to the input, and look at the disk if nothing does.' });
    const lines = bytes.toString('utf8').split('\n').filter((line) => line.trim() !== '');
    if (lines.length !== rows) throw new PenjingError('E_DATA', `${path} has ${lines.length} rows from byte ${start} on, not ${rows}`);
    return lines;
  } finally {
    await file.close();
  }
}

/** There when it is whole and on the disk; the same results are the same file. */
async function writePiece(folder: string, records: readonly RowRecord[], first: number): Promise<Piece> {
  const bytes = Buffer.from(records.map((record, i) => `${JSON.stringify({ index: first + i, ...record })}\n`).join(''));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const draft = join(folder, `draft-${randomUUID()}`);
  try {
    await mkdir(folder, { recursive: true });
    const file = await open(draft, 'w');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, join(folder, sha256));
  } catch (cause) {
    await rm(draft, { force: true });
    const error = ioError(cause, folder);
    // The run is over, and its folder with it.
    if (isPenjingError(error) && error.code === 'E_NOT_FOUND') throw new PenjingError('E_CANCELLED', `${folder} is gone`, { cause });
    throw error;
  }
  return { sha256, bytes: bytes.length, rows: records.length, failed: records.filter((record) => 'error' in record).length };
}
