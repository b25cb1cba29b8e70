/** Writes every file of a plan into the work folder: lazy tensors by the pool, bytes by the calling thread. */
import { existsSync } from 'node:fs';
import { stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { type DenseTensor, PenjingError, type QuantizeStats, rowBytes, type TaskOptions } from '@penjing/core';
import type { FileLayout } from '../layout.js';
import { isUnchanged, sourceChanged } from './file-source.js';
import { entryKey, Journal, type JournalEntry, readJournal } from './journal.js';
import { OutputFile } from './output-file.js';
import { planKey } from './plan-key.js';
import { nextGroup, type Pool, type SaveThread } from './pool.js';
import type { WorkerGroup } from './pool-protocol.js';
import type { PlannedGroup } from './save-plan.js';
import { workerGroup } from './shared-sources.js';
import { writeChecksums, WrittenChecksums } from './write-checksums.js';

export interface WriteOptions extends TaskOptions {
  readonly resume: boolean;
  readonly planKey: string;
}

export interface Written {
  /** By tensor name: what quantizing or narrowing it lost. */
  readonly measured: Map<string, QuantizeStats>;
  /** Bytes found finished from an earlier run. */
  readonly resumedBytes: number;
  /** True when there was a journal but not of this plan. */
  readonly foreignJournal: boolean;
}

interface Chunk {
  readonly group: OpenGroup;
  readonly index: number;
}

/** A group while chunks of it are open. */
interface OpenGroup {
  readonly id: number;
  readonly index: number;
  readonly plan: PlannedGroup;
  readonly stats: (QuantizeStats | undefined)[];
  wire: Promise<WorkerGroup> | undefined;
  left: number;
}

/** Chunks that wait at a thread while it computes one, so that it never idles. */
const CHUNKS_PER_THREAD = 2;

/** Files end up in `folder` (of the work folder) under their names, synced. A plan without groups needs no threads. */
export async function writeFiles(
  work: string, folder: string, files: readonly FileLayout[], plan: readonly PlannedGroup[], pool: Pick<Pool, 'threads'>, options: WriteOptions,
): Promise<Written> {
  const { signal, onProgress } = options;
  const key = await planKey(files, plan, options.planKey);
  const journalPath = join(work, 'journal.jsonl');
  const finished = options.resume ? await readJournal(journalPath, key) : undefined;
  // a run that was cut off before it wrote anything has none
  const foreignJournal = options.resume && !finished && existsSync(journalPath);
  if (!finished) await checkSpace(work, files);
  const measured = new Map<string, QuantizeStats>();
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  let resumedBytes = 0;

  const outputs: OutputFile[] = [];
  try {
    for (const { name, size } of files) outputs.push(await OutputFile.open(join(folder, name), size, finished !== undefined));
    await using journal = await Journal.open(journalPath, key, finished !== undefined);
    const advance = (bytes: number, item: string): void => {
      done += bytes;
      onProgress?.({ phase: 'save', done, total, unit: 'bytes', item });
    };

    const checksums = new WrittenChecksums(files);
    const work = chunksOf(plan);
    let failure: Error | undefined;
    const lane = async (thread: SaveThread): Promise<void> => {
      for (const { group, index } of work) {
        if (failure) return;
        signal?.throwIfAborted();
        const { bytes, resumed } = await carryOut(thread, group, index);
        if (resumed) resumedBytes += bytes;
        advance(bytes, group.plan.outputs[0]!.name);
        if (--group.left > 0) continue;
        group.wire = undefined;
        for (const other of pool.threads) other.closeGroup(group.id);
        const stats = sumStats(group.stats);
        if (stats) for (const { name } of group.plan.outputs) measured.set(name, stats);
      }
    };

    const carryOut = async (thread: SaveThread, group: OpenGroup, index: number): Promise<{ bytes: number; resumed: boolean }> => {
      const rows = group.plan.rows(index);
      const stretches = group.plan.outputs.map(({ expr, file, offset }, i) => {
        const range = rowBytes(expr, rows[i]!);
        return { path: outputs[file]!.path, offset: offset + range.offset, length: range.length };
      });
      const bytes = stretches.reduce((sum, { length }) => sum + length, 0);
      const keep = (crcs: readonly number[]): void => stretches.forEach(({ offset, length }, i) => checksums.add(group.plan.outputs[i]!.file, offset, length, crcs[i]!));
      const entry = finished?.get(entryKey(group.index, index));
      if (entry) {
        const found = await thread.call('checksum', stretches);
        if (found.every((crc, i) => crc === entry.crcs[i])) {
          group.stats[index] = entry.stats;
          keep(entry.crcs);
          return { bytes, resumed: true };
        }
      }
      group.wire ??= workerGroup(group.plan, outputs.map(({ path }) => path));
      thread.openGroup(group.id, await group.wire);
      const { crcs, cached, stats } = await thread.call('chunk', { group: group.id, rows });
      group.stats[index] = stats;
      keep(crcs);
      cached.forEach((count, i) => outputs[group.plan.outputs[i]!.file]!.written(count));
      await journal.add({ group: group.index, chunk: index, crcs, stats } satisfies JournalEntry);
      return { bytes, resumed: false };
    };

    const lanes = pool.threads.flatMap((thread) => Array.from({ length: CHUNKS_PER_THREAD }, () => lane(thread)));
    lanes.push(writeKnown(files, outputs, advance, signal));
    // The first failure stops the others at their next chunk; all have ended before this function does.
    await Promise.allSettled(lanes.map((running) => running.catch((error: Error) => { failure ??= error; })));
    if (failure) throw failure;
    await checkSources(plan);
    await writeChecksums(files, outputs, checksums, pool, signal);
    for (const output of outputs) await output.sync();
    return { measured, resumedBytes, foreignJournal };
  } finally {
    const paths = outputs.map(({ path }) => path);
    for (const thread of pool.threads) thread.forget(paths);
    for (const output of outputs) await output[Symbol.asyncDispose]();
  }
}

/** All chunks in order; the lanes share the iterator. */
function* chunksOf(plan: readonly PlannedGroup[]): Generator<Chunk> {
  for (const [index, group] of plan.entries()) {
    const open: OpenGroup = { id: nextGroup(), index, plan: group, stats: [], wire: undefined, left: group.chunks };
    for (let chunk = 0; chunk < group.chunks; chunk++) yield { group: open, index: chunk };
  }
}

/** Headers and tensors in memory. They are written again on resuming: that is faster than checking them. */
async function writeKnown(
  files: readonly FileLayout[], outputs: readonly OutputFile[], advance: (bytes: number, item: string) => void, signal: AbortSignal | undefined,
): Promise<void> {
  for (const [i, { name, pieces }] of files.entries()) {
    for (const piece of pieces) {
      const bytes = piece.kind === 'bytes' ? piece.bytes : piece.kind === 'tensor' && piece.tensor.kind === 'dense' ? (piece.tensor as DenseTensor).bytes : undefined;
      if (!bytes) continue;
      signal?.throwIfAborted();
      await outputs[i]!.write(bytes, piece.offset);
      advance(bytes.byteLength, piece.kind === 'tensor' ? piece.name : name);
    }
  }
}

/** In the order of the chunks, so that the sums do not depend on which thread was faster. */
function sumStats(parts: readonly (QuantizeStats | undefined)[]): QuantizeStats | undefined {
  let sum: QuantizeStats | undefined;
  for (const part of parts) {
    if (!part) continue;
    sum = sum
      ? {
          sumSquares: sum.sumSquares + part.sumSquares,
          sumSquaredError: sum.sumSquaredError + part.sumSquaredError,
          maxError: Math.max(sum.maxError, part.maxError),
          nonFinite: sum.nonFinite + part.nonFinite,
        }
      : part;
  }
  return sum;
}

/** Better before the first byte than after an hour. */
async function checkSpace(work: string, files: readonly FileLayout[]): Promise<void> {
  const needed = files.reduce((sum, { size }) => sum + size, 0);
  const space = await statfs(work).catch(() => undefined);
  if (!space) return;
  const free = space.bavail * space.bsize;
  if (needed > free) {
    throw new PenjingError('E_DISK_FULL', `${work} needs ${needed} bytes, the disk has ${free} left`, {
      hint: 'Free some space or write to another disk.',
      details: { needed, free },
    });
  }
}

/** A source that changed while it was read may have given a mixture. */
async function checkSources(plan: readonly PlannedGroup[]): Promise<void> {
  const seen = new Set<string>();
  for (const { sources } of plan) {
    for (const { descriptor } of sources.values()) {
      if (descriptor.kind !== 'file' || seen.has(descriptor.path)) continue;
      seen.add(descriptor.path);
      const info = await stat(descriptor.path, { bigint: true }).catch(() => undefined);
      if (!info || !isUnchanged(info, descriptor)) throw sourceChanged(descriptor.path);
    }
  }
}

