/** A pool whose threads are the workers of a fleet: a save asks it for chunks as it asks threads, and writes the same bytes. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { EXPR_VERSION, PenjingError, rowBytes } from '@penjing/core';
import { type Calls, createPool, fileSource, type Pool, type SaveThread, type WorkerGroup } from '@penjing/graph-io/node';
import { type Json, type Outcome, runJobs, type WorkQueue } from '@penjing/parallel';
import { pushList } from './push-list.js';
import { readStats, type SaveJobResult, type SaveJobSpec, type SharedGroup, type SharedSource, type SharedText } from './save-job.js';
import type { SharedRoots } from './shared-roots.js';

export interface FleetPoolOptions {
  readonly queue: WorkQueue;
  readonly roots: SharedRoots;
  /** Where the output is written, whose work folder holds what the workers need. */
  readonly output: string;
  /** Chunks that are on their way at a time. */
  readonly chunks?: number;
  /** Chunks of a job, some 4 MB of work each. */
  readonly chunksPerJob?: number;
  readonly signal?: AbortSignal;
}

type ChunkParams = Calls['chunk']['params'];
type ChunkAnswer = Calls['chunk']['result'];

interface Asked {
  readonly params: ChunkParams;
  readonly group: WorkerGroup;
  resolve(answer: ChunkAnswer): void;
  reject(error: Error): void;
}

/** The save takes two chunks per thread at a time. */
const CHUNKS_PER_THREAD = 2;
/** Of groups in a job; larger ones go by a file. */
const INLINE_BYTES = 24 * 1024;
/** Damaged stretches are written anew so often. */
const MOST_REPAIRS = 3;

interface SaveJob {
  readonly handler: 'save';
  readonly spec: Json;
  readonly asked: readonly Asked[];
  repairs: number;
}

/**
 * What a worker says it wrote is read again and compared before it counts, so that damage on the way is written anew. Workers that are lost
 * are replaced by others. Needs the `save` handler on them, and a root that holds the input and the output.
 */
export function fleetPool({ queue, roots, output, chunks = 64, chunksPerJob = 8, signal }: FleetPoolOptions): Pool {
  const run = `save-${createHash('sha256').update(output).update(randomUUID()).digest('hex').slice(0, 24)}`;
  const local = createPool({ threads: 1 });
  const [reader] = local.threads;
  if (!reader) throw new PenjingError('E_INTERNAL', 'a pool without threads');
  const groups = new Map<number, WorkerGroup>();
  const shared = new WeakMap<WorkerGroup, Promise<SharedGroup | SharedText>>();
  const jobs = pushList<SaveJob>();
  let waiting: Asked[] = [];
  let timer: NodeJS.Timeout | undefined;
  let fence: Promise<Pick<SaveJobSpec, 'fence' | 'token'>> | undefined;
  let running: Promise<void> | undefined;
  let failure: Error | undefined;

  const open = new Set<Asked>();
  const fail = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new Error(String(error));
    for (const asked of open) asked.reject(failure);
    open.clear();
  };

  function ask(params: ChunkParams): Promise<ChunkAnswer> {
    if (failure) return Promise.reject(failure);
    const group = groups.get(params.group);
    if (!group) return Promise.reject(new PenjingError('E_INTERNAL', `the group ${params.group} is not open`));
    return new Promise((resolve, reject) => {
      const asked: Asked = {
        params, group,
        resolve: (answer) => void (open.delete(asked), resolve(answer)),
        reject: (error) => void (open.delete(asked), reject(error)),
      };
      open.add(asked);
      waiting.push(asked);
      if (waiting.length >= chunksPerJob) send();
      else timer ??= setTimeout(send, 4);
    });
  }

  function send(): void {
    clearTimeout(timer);
    timer = undefined;
    const asked = waiting;
    waiting = [];
    void jobOf(asked).then((job) => {
      jobs.push(job);
      running ??= runJobs(queue, run, jobs, hear, { window: 1024, ...(signal && { signal }) }).catch(fail);
    }).catch(fail);
  }

  async function jobOf(asked: readonly Asked[]): Promise<SaveJob> {
    const [first] = asked;
    const path = first?.group.outputs[0]?.path;
    if (path === undefined) throw new PenjingError('E_INTERNAL', 'a job without chunks');
    const work = workOf(path);
    fence ??= makeFence(work, roots);
    const places = new Map<WorkerGroup, number>();
    const list: (SharedGroup | SharedText)[] = [];
    let inline = 0;
    for (const { group } of asked) {
      if (places.has(group)) continue;
      places.set(group, list.length);
      let known = shared.get(group);
      if (!known) shared.set(group, (known = shareGroup(group, join(work, 'fleet'), roots)));
      const one = await known;
      const bytes = Buffer.byteLength(JSON.stringify(one));
      if (!('sha256' in one) && (inline += bytes) > INLINE_BYTES) {
        const text = storeText(JSON.stringify(one), join(work, 'fleet'), roots);
        shared.set(group, text);
        list.push(await text);
      } else list.push(one);
    }
    const spec: SaveJobSpec = { version: EXPR_VERSION, ...(await fence), groups: list, chunks: asked.map(({ params, group }) => ({ group: places.get(group) ?? 0, rows: params.rows })) };
    return { handler: 'save', spec: spec as unknown as Json, asked, repairs: 0 };
  }

  async function hear(outcome: Outcome, job: SaveJob): Promise<void | 'redo'> {
    if (outcome.state === 'dead') {
      const { code, message, hint } = outcome.failure;
      return fail(new PenjingError(code.startsWith('E_') ? (code as `E_${string}`) : 'E_WORKER', `workers could not write a part of ${output}: ${message}`, { ...(hint !== undefined && { hint }) }));
    }
    const { chunks: results } = outcome.result as unknown as SaveJobResult;
    const wanted = job.asked.flatMap(stretchesOf);
    const found = await reader?.call('checksum', wanted);
    reader?.forget(wanted.map(({ path }) => path));
    if (results.length !== job.asked.length || results.flatMap(({ crcs }) => crcs).some((crc, i) => crc !== found?.[i])) {
      if (job.repairs++ >= MOST_REPAIRS) return fail(new PenjingError('E_DATA', `what workers write of ${output} is damaged each time it is read`, { hint: 'Look at the disk and the network file system.' }));
      return 'redo';
    }
    for (const [i, asked] of job.asked.entries()) {
      const { crcs = [], stats = null } = results[i] ?? {};
      // Workers have synced what they wrote: nothing waits in the cache of this machine.
      asked.resolve({ crcs, cached: crcs.map(() => 0), stats: readStats(stats) });
    }
  }

  const thread: SaveThread = {
    call: (call, params) => (call === 'chunk' ? (ask(params as ChunkParams)) : reader.call(call, params)),
    openGroup: (id, group) => {
      groups.set(id, group);
      reader.openGroup(id, group);
    },
    closeGroup: (id) => {
      groups.delete(id);
      reader.closeGroup(id);
    },
    forget: (paths) => reader.forget(paths),
  };
  return {
    threads: Array.from({ length: Math.max(1, Math.ceil(chunks / CHUNKS_PER_THREAD)) }, () => thread),
    async [Symbol.asyncDispose]() {
      fail(new PenjingError('E_DISPOSED', 'the pool was disposed'));
      jobs.end();
      await running;
      if (running) await queue.forget(run).catch(() => {});
      await local[Symbol.asyncDispose]();
    },
  };
}

function stretchesOf({ params, group }: Asked): { path: string; offset: number; length: number }[] {
  return group.outputs.map(({ expr, path, offset }, i) => {
    const range = rowBytes(expr, params.rows[i] ?? { start: 0, end: 0 });
    return { path, offset: offset + range.offset, length: range.length };
  });
}

/** Files are written inside a folder of the work folder, perhaps deep. */
function workOf(path: string): string {
  const at = path.lastIndexOf(`.penjing${sep}files${sep}`);
  return at === -1 ? dirname(path) : path.slice(0, at + '.penjing'.length);
}

async function makeFence(work: string, roots: SharedRoots): Promise<Pick<SaveJobSpec, 'fence' | 'token'>> {
  const token = randomUUID();
  const path = join(work, 'fence');
  await writeFile(path, token);
  return { fence: await roots.share(path), token };
}

/** What lies in memory here is put into files. */
async function shareGroup({ outputs, sources }: WorkerGroup, folder: string, roots: SharedRoots): Promise<SharedGroup> {
  const shared: Record<string, SharedSource> = {};
  for (const [key, source] of sources) {
    const file = source.kind === 'file' ? source : (await fileSource(await store(new Uint8Array(source.bytes), folder))).descriptor;
    if (file.kind !== 'file') throw new PenjingError('E_INTERNAL', 'a file that is none');
    shared[key] = { ...(await roots.share(file.path)), size: file.size, mtimeMs: file.mtimeMs };
  }
  return { outputs: await Promise.all(outputs.map(async ({ expr, path, offset }) => ({ expr, file: await roots.share(path), offset }))), sources: shared };
}

async function storeText(text: string, folder: string, roots: SharedRoots): Promise<SharedText> {
  const bytes = Buffer.from(text);
  return { ...(await roots.share(await store(bytes, folder))), sha256: createHash('sha256').update(bytes).digest('hex') };
}

async function store(bytes: Uint8Array, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, createHash('sha256').update(bytes).digest('hex'));
  await writeFile(path, bytes);
  return path;
}
