/** The worker's side of a sharded save: the threads that save on one machine compute the chunks of a job. */
import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { isPenjingError, PenjingError } from '@penjing/core';
import { createPool, type Pool, type SaveThread, type WorkerGroup, type WorkerSource } from '@penjing/graph-io/node';
import type { Json } from '@penjing/parallel';
import type { Handler } from './handler.js';
import { type ChunkResult, readSaveJob, type SaveJobResult, type SaveJobSpec, type SharedGroup, writeStats } from './save-job.js';
import type { SharedRoots } from './shared-roots.js';

export function saveHandler(threads: number): Handler {
  const pools: Pool[] = [];
  let groups = 0;
  const idle: SaveThread[] = [];
  const waiting: ((thread: SaveThread) => void)[] = [];

  async function take(): Promise<SaveThread> {
    if (pools.length === 0) start(threads);
    return idle.pop() ?? new Promise((resolve) => waiting.push(resolve));
  }

  function start(count: number): void {
    const pool = createPool({ threads: count });
    pools.push(pool);
    for (const thread of pool.threads) give(thread);
  }

  function give(thread: SaveThread): void {
    const next = waiting.shift();
    if (next) next(thread);
    else idle.push(thread);
  }

  return {
    async run(spec, { roots, signal }) {
      const job = readSaveJob(spec);
      const opened = await Promise.all(job.groups.map(async (group) => openGroup('sha256' in group ? await readGroup(roots, group) : group, roots)));
      const thread = await take();
      const ids = opened.map(() => groups++);
      const paths = new Set(opened.flatMap(({ outputs }) => outputs.map(({ path }) => path)));
      let lost = false;
      try {
        const chunks: ChunkResult[] = [];
        for (const { group, rows } of job.chunks) {
          signal.throwIfAborted();
          await checkFence(job, roots);
          const id = ids[group];
          const sent = opened[group];
          if (id === undefined || sent === undefined) throw new PenjingError('E_DATA', `the job has no group ${group}`);
          thread.openGroup(id, sent);
          const { crcs, stats } = await thread.call('chunk', { group: id, rows });
          chunks.push({ crcs, stats: writeStats(stats) });
        }
        thread.forget([...paths]);
        await Promise.all([...paths].map(sync));
        return { chunks } satisfies SaveJobResult as unknown as Json;
      } catch (error) {
        lost = isPenjingError(error) && error.code === 'E_WORKER';
        throw error;
      } finally {
        for (const id of ids) thread.closeGroup(id);
        thread.forget([...paths]);
        // A thread that has died fails every call from then on.
        if (lost) start(1);
        else give(thread);
      }
    },
    [Symbol.asyncDispose]: async () => void (await Promise.all(pools.map((pool) => pool[Symbol.asyncDispose]()))),
  };
}

/** A job of a save that was given up must not write into the one that took its place. */
async function checkFence({ fence, token }: SaveJobSpec, roots: SharedRoots): Promise<void> {
  const found = await readFile(await roots.find(fence), 'utf8').catch(() => undefined);
  if (found !== token) throw new PenjingError('E_CANCELLED', 'the save that this job belongs to is over');
}

async function readGroup(roots: SharedRoots, text: Extract<SaveJobSpec['groups'][number], { sha256: string }>): Promise<SharedGroup> {
  const bytes = await readFile(await roots.find(text));
  if (createHash('sha256').update(bytes).digest('hex') !== text.sha256) throw new PenjingError('E_DATA', `${text.path} is damaged`, { hint: 'Run the save again.' });
  return JSON.parse(bytes.toString('utf8')) as SharedGroup;
}

async function openGroup({ outputs, sources }: SharedGroup, roots: SharedRoots): Promise<WorkerGroup> {
  const found = new Map<string, WorkerSource>();
  for (const [key, source] of Object.entries(sources)) found.set(key, { kind: 'file', path: await roots.find(source), size: source.size, mtimeMs: source.mtimeMs });
  const share = sharer();
  return { outputs: await Promise.all(outputs.map(async ({ expr, file, offset }) => ({ expr: share(expr), path: await roots.find(file), offset }))), sources: found };
}

/** Values and scales come from one quantization; in JSON they are two, which would be computed and counted twice. */
function sharer(): <T>(value: T) => T {
  const known = new Map<string, unknown>();
  const share = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map(share);
    const key = JSON.stringify(value);
    if (!known.has(key)) known.set(key, Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, share(inner)])));
    return known.get(key);
  };
  return share as <T>(value: T) => T;
}

/** What this machine acknowledges is on the disk that the others see. */
async function sync(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}
