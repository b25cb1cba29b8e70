/** A host of jobs whose threads are the workers of a fleet: passes ask it as they ask the one of this machine, and get the same. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Job, type JobHost, type JobOptions, type PreparedModel, PenjingError, untilAborted } from '@penjing/core';
import { ioError } from '@penjing/graph-io/node';
import { type Json, type Outcome, runJobs, type WorkQueue } from '@penjing/parallel';
import { computeJob, type ComputeJobResult } from './compute-job.js';
import { jobTable } from './job-table.js';
import { readParcel, type SharedBuffers, sharedBuffers, writeParcel } from './parcel.js';
import { pushList } from './push-list.js';
import type { SharedRoots } from './shared-roots.js';

/** A fleet that work may be given to. */
export interface Fleet {
  readonly queue: WorkQueue;
  readonly roots: SharedRoots;
}

export interface FleetJobsOptions extends Fleet {
  /** Runs what workers do not know, and prepares everything; disposed with this host. */
  readonly local: JobHost & AsyncDisposable;
  /** Work folder of the run, inside of a root. */
  readonly work: string;
  /** Of ONNX Runtime in each job: as many as `local` has, or results may differ in their last bits. */
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
}

/** Jobs that are on their way at a time, whatever the number of workers. */
const PARALLEL = 64;
/** For a broker that is away when a run is given up. */
const FORGET_MS = 2_000;

interface Call {
  readonly handler: 'compute';
  readonly spec: Json;
  /** Fires when nobody waits for it any more: its input may be gone, and what becomes of it means nothing. */
  readonly signal: AbortSignal | undefined;
  resolve(result: ComputeJobResult): void;
  reject(error: Error): void;
}

/** Needs the `compute` handler on workers, and a root that holds the work folder and the model. A worker that is lost is replaced by another; the jobs that it had are done again. */
export async function fleetJobs({ queue, roots, local, work, threads, signal }: FleetJobsOptions): Promise<JobHost & AsyncDisposable> {
  const known = await jobTable();
  const run = `compute-${createHash('sha256').update(work).update(randomUUID()).digest('hex').slice(0, 24)}`;
  const folders = join(work, 'fleet-jobs');
  await giveUp(folders, queue);
  // Of this run alone: workers run no job whose folder is gone.
  const folder = join(folders, run);
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw ioError(cause, folder);
  });
  const buffers = sharedBuffers({ folder, roots });
  const calls = pushList<Call>();
  const open = new Set<Call>();
  let running: Promise<void> | undefined;
  let failure: Error | undefined;
  const ending = new AbortController();
  const until = signal ? AbortSignal.any([signal, ending.signal]) : ending.signal;

  const fail = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new Error(String(error));
    // What is on its way is of no use to anybody: the run is cancelled, and workers stop.
    if (open.size > 0) ending.abort(failure);
    for (const call of open) call.reject(failure);
    open.clear();
  };

  async function hear(outcome: Outcome, call: Call): Promise<void> {
    open.delete(call);
    if (outcome.state === 'done') return call.resolve(outcome.result as unknown as ComputeJobResult);
    const { code, message, hint } = outcome.failure;
    const error = new PenjingError(code.startsWith('E_') ? (code as `E_${string}`) : 'E_WORKER', `workers could not run ${(call.spec as { job: string }).job}: ${message}`, { ...(hint !== undefined && { hint }) });
    call.reject(error);
    // No answer, which a pass might do without.
    if (!call.signal?.aborted) fail(error);
  }

  function ask(spec: Json, own: AbortSignal | undefined): Promise<ComputeJobResult> {
    if (failure) return Promise.reject(failure);
    return new Promise((resolve, reject) => {
      const call: Call = { handler: 'compute', spec, signal: own, resolve, reject };
      open.add(call);
      calls.push(call);
      running ??= runJobs(queue, run, calls, hear, { window: 2 * PARALLEL, signal: until }).catch(fail);
    });
  }

  async function remote<Input, Output>({ name }: Job<Input, Output>, input: Input, { seed, signal: own }: JobOptions): Promise<Output> {
    await using laid = buffers.ofJob();
    const written = await writeParcel(input, { folder, roots, buffers: laid });
    try {
      const asked = ask(computeJob({ job: name, input: written, threads, seed: seed ?? null, work: await roots.share(work), folder: await roots.share(folder) }), own);
      const result = await (own ? untilAborted(asked, own) : asked);
      if ('error' in result) {
        const { code, message, hint } = result.error;
        throw new PenjingError(code, message, { ...(hint !== null && { hint }) });
      }
      const output = (await readParcel(result.output, roots)) as Output;
      await rm(await roots.find(result.output), { force: true });
      return output;
    } finally {
      // What was thrown counts, and the folder goes with the host.
      await roots.find(written).then((path) => rm(path, { force: true })).catch(() => {});
    }
  }

  return {
    ...local,
    parallel: PARALLEL,
    async prepare(model, options) {
      const prepared = await local.prepare(model, options);
      return { ...prepared, async [Symbol.asyncDispose]() {
        await forgetModel(prepared, buffers);
        await prepared[Symbol.asyncDispose]();
      } };
    },
    // Ports and ends that others ask for do not cross a network.
    run: (job, input, options = {}) => (known.get(job.name)?.module === job.module && !options.stop ? remote(job, input, options) : local.run(job, input, options)),
    async [Symbol.asyncDispose]() {
      fail(new PenjingError('E_DISPOSED', 'the host of jobs was disposed'));
      calls.end();
      await running;
      if (running) await forget(run, queue);
      await local[Symbol.asyncDispose]();
      await rm(folders, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    },
  };
}

/** Runs whose command was killed here leave their folders, which have their names. */
async function giveUp(folders: string, queue: WorkQueue): Promise<void> {
  for (const run of await readdir(folders).catch(() => [])) {
    await queue.cancel(run, { signal: AbortSignal.timeout(FORGET_MS) }).catch(() => {});
    await forget(run, queue);
  }
  await rm(folders, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
}

async function forget(run: string, queue: WorkQueue): Promise<void> {
  await queue.forget(run, { signal: AbortSignal.timeout(FORGET_MS) }).catch(() => {});
}

/** Small models are handed over as bytes, which have a file as long as the model is there. */
async function forgetModel({ reference }: PreparedModel, buffers: SharedBuffers): Promise<void> {
  const { source } = reference as { readonly source?: { readonly bytes?: ArrayBuffer } };
  if (source?.bytes) await buffers.forget(source.bytes);
}
