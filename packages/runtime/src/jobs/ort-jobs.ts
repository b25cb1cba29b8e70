/** The `JobHost` of core on worker threads, each with ONNX Runtime and kernels of its own. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Job, JobHost, JobOptions, Progress } from '@penjing/core';
import { SessionHost } from '../session-host.js';
import { storeForJobs } from '../worker/local-engine.js';
import { openFolderShelf } from './folder-shelf.js';
import { referTensor, spilledTensor } from './stored-tensor.js';

export interface OrtJobsOptions {
  /** Jobs at the same time, each in a thread of its own; 1 when absent. */
  readonly parallel?: number;
  /** Threads of ONNX Runtime in each; the cores shared out when absent. */
  readonly threads?: number;
  /**
   * Work folder of the run, which the caller deletes: results of jobs stay in it until then. When absent, a temporary folder that is
   * deleted with the host, and the tensors that jobs made with it.
   */
  readonly work?: string;
}

/** Threads are started when jobs need them and end with the host. */
export function ortJobs({ parallel = 1, threads = Math.max(1, Math.floor(availableParallelism() / parallel)), work }: OrtJobsOptions = {}): JobHost & AsyncDisposable {
  const idle: SessionHost[] = [];
  const all = new Set<SessionHost>();
  const waiting: ((host: SessionHost) => void)[] = [];
  const folder = lazily(() => (work === undefined ? mkdtemp(join(tmpdir(), 'penjing-jobs-')) : emptied(join(work, 'jobs'))));
  const spills = async (): Promise<string> => join(work ?? (await folder()), 'spills');

  function take(): SessionHost | Promise<SessionHost> {
    const host = idle.pop();
    if (host) return host;
    if (all.size < parallel) {
      const started = new SessionHost();
      all.add(started);
      return started;
    }
    return new Promise((resolve) => waiting.push(resolve));
  }

  function give(host: SessionHost): void {
    const next = waiting.shift();
    if (next) next(host);
    else idle.push(host);
  }

  return {
    parallel,
    openShelf: async () => openFolderShelf(await folder()),
    refer: referTensor,
    tensor: async ({ reference }) => spilledTensor(reference as Parameters<typeof spilledTensor>[0]),
    async prepare(model, options = {}) {
      const stored = await storeForJobs(model, options, await folder());
      return { kind: 'model', reference: stored.model, [Symbol.asyncDispose]: stored.cleanup };
    },
    async run<Input, Output>({ module, name }: Job<Input, Output>, input: Input, { signal, onProgress, seed, transfer }: JobOptions = {}): Promise<Output> {
      signal?.throwIfAborted();
      const host = await take();
      try {
        const output = await host.call('job', { module, name, input, seed, threads, spills: await spills() }, {
          ...(signal && { signal }),
          ...(transfer && { transfer }),
          ...(onProgress && { onEvent: (event: Progress) => onProgress(event) }),
        });
        return output as Output;
      } finally {
        give(host);
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...all].map((host) => host[Symbol.asyncDispose]()));
      if (folder.made()) await rm(await folder(), { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    },
  };
}

/** What a run that was killed left there is of no use. */
async function emptied(path: string): Promise<string> {
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { recursive: true, mode: 0o700 });
  return path;
}

function lazily<T>(make: () => Promise<T>): (() => Promise<T>) & { made: () => boolean } {
  let value: Promise<T> | undefined;
  return Object.assign(() => (value ??= make()), { made: () => value !== undefined });
}
