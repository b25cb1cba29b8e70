/** The `JobHost` of core on worker threads, each with ONNX Runtime and kernels of its own. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Job, JobHost, JobOptions, Tensor } from '@penjing/core';
import { storeForJobs } from '../worker/local-engine.js';
import { blockedConvolutions, hasFedConvolutions } from '../engine/blocked-convolutions.js';
import { blockedLayoutJob } from './blocked-layout-job.js';
import { digestJob } from './digest-job.js';
import { digestModel, tensorsToHash } from './digest-model.js';
import { openFolderShelf } from './folder-shelf.js';
import { openJobThreads } from './job-threads.js';
import { referTensor, spilledTensor } from './stored-tensor.js';

export interface OrtJobsOptions {
  /** Jobs at the same time, each in a thread of its own; 1 when absent. */
  readonly parallel?: number;
  /** Threads of ONNX Runtime in each; the cores shared out when absent. */
  readonly threads?: number;
  /**
   * Work folder of the run, which the caller deletes: results of jobs stay in it until then, and another run in it takes them instead
   * of running the same jobs again. When absent, a temporary folder that is deleted with the host, and the tensors that jobs made with it.
   */
  readonly work?: string;
}

/** Threads are started when jobs need them and end with the host. */
export function ortJobs({ parallel = 1, threads = Math.max(1, Math.floor(availableParallelism() / parallel)), work }: OrtJobsOptions = {}): JobHost & AsyncDisposable {
  const workers = openJobThreads(parallel);
  const folder = lazily(() => (work === undefined ? mkdtemp(join(tmpdir(), 'penjing-jobs-')) : emptied(join(work, 'jobs'))));
  /** What jobs keep goes into a folder that is there: they make none, since those of a fleet may outlive their run. */
  const base = lazily(async () => (work === undefined ? folder() : made(work)));
  const spills = async (): Promise<string> => join(await base(), 'spills');

  async function run<Input, Output>({ module, name }: Job<Input, Output>, input: Input, options?: JobOptions): Promise<Output> {
    options?.signal?.throwIfAborted();
    return (await workers.run({ module, name, input, threads, spills: await spills(), results: work && join(work, 'results') }, options)) as Output;
  }

  let channels: Promise<number> | undefined;
  const block = (): Promise<number> => (channels ??= run(blockedLayoutJob, undefined));

  /** A tensor is never changed: what was computed of it holds as long as it does. */
  const hashes = new WeakMap<Tensor, string>();

  return {
    parallel,
    async digest(model, options = {}) {
      const tensors = tensorsToHash(model);
      const unknown = tensors.filter((tensor) => !hashes.has(tensor));
      if (unknown.length > 0) {
        const references = [];
        for (const tensor of unknown) references.push(await referTensor(tensor));
        const found = await run(digestJob, references, options);
        for (const [i, tensor] of unknown.entries()) hashes.set(tensor, found[i]!);
      }
      return digestModel(model, (tensor) => hashes.get(tensor)!);
    },
    openShelf: async () => openFolderShelf(await folder()),
    refer: referTensor,
    tensor: async ({ reference }) => spilledTensor(reference as Parameters<typeof spilledTensor>[0]),
    async prepare(model, options = {}) {
      const suited = hasFedConvolutions(model) ? blockedConvolutions(model, await block()) : model;
      const stored = await storeForJobs(suited, options, await folder());
      return { kind: 'model', reference: stored.model, [Symbol.asyncDispose]: stored.cleanup };
    },
    run,
    async [Symbol.asyncDispose]() {
      await workers[Symbol.asyncDispose]();
      if (folder.made()) await rm(await folder(), { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    },
  };
}

/** What a run that was killed left there is of no use. */
async function emptied(path: string): Promise<string> {
  await rm(path, { recursive: true, force: true });
  return made(path);
}

async function made(path: string): Promise<string> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  return path;
}

function lazily<T>(make: () => Promise<T>): (() => Promise<T>) & { made: () => boolean } {
  let value: Promise<T> | undefined;
  return Object.assign(() => (value ??= make()), { made: () => value !== undefined });
}
