/** Runs a model over the rows of a file, by workers of a fleet or of this process: the rows in order, whole or not at all. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, mkdir, open, readdir, readFile, realpath, rename, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { isPenjingError, PenjingError, type TaskOptions } from '@penjing/core';
import { ioError, openWorkFolder, type WorkFolder } from '@penjing/graph-io/node';
import { type Json, runJobs } from '@penjing/parallel';
import { findTask } from '../tasks/find-task.js';
import { type BatchJobSpec, type BatchTask, batchTasks, type Piece, type RowOptions, type Stretch } from './batch-job.js';
import { cutLines } from './cut-lines.js';
import { type JoinOptions, joinFleet, localFleet } from './join-fleet.js';
import { runWorker } from './run-worker.js';
import { openRoots } from './shared-roots.js';

export interface BatchFileOptions extends TaskOptions {
  readonly output: string;
  /** As `batchTasks` has them; what the model is for when absent. */
  readonly task?: string | undefined;
  readonly options?: RowOptions | undefined;
  /** Rows of a job; 64 when absent. */
  readonly rowsPerJob?: number | undefined;
  readonly force?: boolean;
  readonly resume?: boolean;
  /** The fleet; without one, `workers` of this process. */
  readonly join?: JoinOptions | undefined;
  readonly roots?: readonly string[] | undefined;
  readonly workers?: number | undefined;
  readonly threads?: number | undefined;
  readonly onNote?: (text: string) => void;
}

export interface BatchFileResult {
  readonly output: string;
  readonly task: BatchTask;
  readonly rows: number;
  /** Rows whose record is an error. */
  readonly failed: number;
  /** Rows that an earlier run had finished. */
  readonly resumed: number;
  readonly bytes: number;
  readonly seconds: number;
}

/** A result that is missing or damaged is made anew so often. */
const MOST_REPAIRS = 3;

interface BatchJob {
  readonly handler: 'batch';
  readonly spec: Json;
  readonly stretch: Stretch;
  repairs: number;
}

/** Throws what a job threw that failed on several workers; what is finished stays in the work folder for `resume`. */
export async function batchFile(input: string, model: string, { output, task: asked, options = {}, rowsPerJob = 64, force = false, resume = false, join: joining, roots: folders = ['.'], workers, threads, signal, onProgress, onNote = () => {} }: BatchFileOptions): Promise<BatchFileResult> {
  const started = performance.now();
  const target = resolve(output);
  const exists = async (): Promise<boolean> => stat(target).then(() => true, () => false);
  if (!force && (await exists())) throw new PenjingError('E_EXISTS', `${output} exists already`, { hint: 'Choose another name, or give --force.' });
  const task = await taskOf(model, asked);
  const { size } = await fileInfo(input);
  // In one process every path is fine.
  const roots = await openRoots(joining ? folders : ['/']);
  const work = await openWorkFolder(target);
  let finished = false;
  try {
    if (work.stale && !resume) {
      await work.clear();
      onNote(`${work.path}, left by a run that did not finish, was deleted`);
    }
    const pieces = join(work.path, 'pieces');
    await mkdir(pieces, { recursive: true });
    const shared = { input: await roots.share(await realpath(input)), model: await roots.share(model), modelKey: await modelKey(model), task, options, pieces: await roots.share(pieces) };
    const key = createHash('sha256').update(JSON.stringify([shared, rowsPerJob, await fileInfo(input)])).digest('hex');
    const journal = join(work.path, 'outcomes.jsonl');
    const known = resume ? await readOutcomes(journal, key) : new Map<number, Piece>();
    if (known.size === 0) await appendFile(journal, `${JSON.stringify({ key })}\n`);

    const results = new Map<number, Piece>();
    let resumed = 0;
    let scanned: number | undefined;
    let rows = 0;
    const advance = (piece: Piece, { start, end }: Stretch): void => {
      rows += piece.rows;
      results.set(start, piece);
      onProgress?.({ phase: 'batch', done: scanned === undefined ? end : rows, total: scanned ?? size, unit: scanned === undefined ? 'bytes' : 'rows' });
    };
    async function* jobs(): AsyncGenerator<BatchJob> {
      let total = 0;
      for await (const stretch of cutLines(input, rowsPerJob, signal)) {
        total += stretch.rows;
        if (stretch.rows === 0) continue;
        const piece = known.get(stretch.start);
        if (piece && (await isWhole(pieces, piece))) {
          resumed += piece.rows;
          advance(piece, stretch);
        } else yield { handler: 'batch', spec: { ...shared, ...stretch } satisfies BatchJobSpec as unknown as Json, stretch, repairs: 0 };
      }
      scanned = total;
    }

    await using fleet = joining ? await joinFleet({ ...joining, signal }) : localFleet();
    const stop = new AbortController();
    const local = joining ? undefined : runWorker({ queue: fleet.queue, roots, slots: workers ?? 1, threads, signal: stop.signal });
    const run = `batch-${key.slice(0, 32)}`;
    try {
      await runJobs(fleet.queue, run, jobs(), async (outcome, job) => {
        const { row, rows: count } = job.stretch;
        if (outcome.state === 'dead') {
          const { code, message, hint } = outcome.failure;
          throw new PenjingError(code.startsWith('E_') ? (code as `E_${string}`) : 'E_WORKER', `rows ${row} to ${row + count - 1} of ${input}: ${message}`, { ...(hint !== undefined && { hint }) });
        }
        const piece = outcome.result as unknown as Piece;
        if (piece.rows !== count || !(await isWhole(pieces, piece))) {
          if (job.repairs++ >= MOST_REPAIRS) throw new PenjingError('E_DATA', `the results of rows ${row} to ${row + count - 1} are damaged each time they are read`, { hint: 'Look at the disk and the network file system.' });
          return 'redo';
        }
        await appendFile(journal, `${JSON.stringify({ start: job.stretch.start, piece })}\n`);
        advance(piece, job.stretch);
        return undefined;
      }, { keep: resume && work.stale, ...(signal && { signal }) });
    } finally {
      stop.abort();
      await local;
    }
    const inOrder = [...results].sort(([a], [b]) => a - b).map(([, piece]) => piece);
    const draft = join(work.path, basename(target));
    const bytes = await joinPieces(draft, pieces, inOrder);
    if (!force && (await exists())) throw new PenjingError('E_EXISTS', `${output} exists already`);
    await rename(draft, target);
    finished = true;
    await fleet.queue.forget(run).catch(() => {});
    const failed = inOrder.reduce((sum, piece) => sum + piece.failed, 0);
    return { output, task, rows, failed, resumed, bytes, seconds: (performance.now() - started) / 1000 };
  } catch (cause) {
    throw ioError(cause, output);
  } finally {
    await close(work, finished);
  }
}

async function close(work: WorkFolder, finished: boolean): Promise<void> {
  if (finished) await work.remove();
  else await work[Symbol.asyncDispose]();
}

async function taskOf(model: string, asked: string | undefined): Promise<BatchTask> {
  const isBatch = (name: string): name is BatchTask => (batchTasks as readonly string[]).includes(name);
  const hint = `Tasks of batch: ${batchTasks.join(', ')}.`;
  if (asked !== undefined) {
    if (isBatch(asked)) return asked;
    throw new PenjingError('E_OPTION', `--task ${asked} is not run over files of rows`, { hint });
  }
  if ((await fileInfo(model)).isFile) return 'raw';
  // A model that writes text is the one kind of folder that is no task of `penjing run`.
  const found = await findTask(model, undefined).catch((error: unknown) => {
    if (isPenjingError(error) && error.code === 'E_TASK') return 'text-generation';
    throw error;
  });
  if (isBatch(found)) return found;
  throw new PenjingError('E_OPTION', `${model} is for ${found}, which is not run over files of rows`, { hint });
}

async function fileInfo(path: string): Promise<{ readonly size: number; readonly mtimeMs: number; readonly isFile: boolean }> {
  const info = await stat(path).catch((cause: unknown) => {
    throw ioError(cause, path);
  });
  return { size: info.size, mtimeMs: info.mtimeMs, isFile: info.isFile() };
}

/** Changes when a file of the model does; a file has its external data beside it. */
async function modelKey(path: string): Promise<string> {
  const { isFile } = await fileInfo(path);
  const names = isFile ? [path, `${path}_data`] : (await readdir(path, { recursive: true })).sort().map((name) => join(path, name));
  const facts = await Promise.all(names.map(async (name) => stat(name).then(({ size, mtimeMs }) => [basename(name), size, mtimeMs], () => [])));
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex');
}

/** By the place of the stretch; nothing of another run. */
async function readOutcomes(path: string, key: string): Promise<Map<number, Piece>> {
  const found = new Map<number, Piece>();
  let mine = false;
  for (const line of (await readFile(path, 'utf8').catch(() => '')).split('\n')) {
    try {
      const value = JSON.parse(line) as { key?: string; start?: number; piece?: Piece };
      if (value.key !== undefined) mine = value.key === key;
      else if (mine && value.start !== undefined && value.piece) found.set(value.start, value.piece);
    } catch {
      // The process may have been killed inside a line.
    }
  }
  return found;
}

async function isWhole(folder: string, { sha256, bytes }: Piece): Promise<boolean> {
  if (!/^[0-9a-f]{64}$/.test(sha256)) return false;
  const found = await readFile(join(folder, sha256)).catch(() => undefined);
  return found?.length === bytes && createHash('sha256').update(found).digest('hex') === sha256;
}

async function joinPieces(path: string, folder: string, pieces: readonly Piece[]): Promise<number> {
  const file = await open(path, 'w');
  try {
    let bytes = 0;
    for (const { sha256 } of pieces) {
      const hash = createHash('sha256');
      for await (const chunk of createReadStream(join(folder, sha256)) as AsyncIterable<Buffer>) {
        hash.update(chunk);
        await file.write(chunk);
        bytes += chunk.length;
      }
      if (hash.digest('hex') !== sha256) throw new PenjingError('E_DATA', `${join(folder, sha256)} is damaged`, { hint: 'Run again with --resume: it is made anew.' });
    }
    await file.sync();
    return bytes;
  } finally {
    await file.close();
  }
}
