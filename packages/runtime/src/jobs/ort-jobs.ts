/** The `JobHost` of core on worker threads, each with ONNX Runtime and kernels of its own. */
import { availableParallelism } from 'node:os';
import type { Job, JobHost, JobOptions, Progress } from '@penjing/core';
import { SessionHost } from '../session-host.js';
import { storeForJobs } from '../worker/local-engine.js';
import { openFolderShelf } from './folder-shelf.js';

export interface OrtJobsOptions {
  /** Jobs at the same time, each in a thread of its own; 1 when absent. */
  readonly parallel?: number;
  /** Threads of ONNX Runtime in each; the cores shared out when absent. */
  readonly threads?: number;
}

/** Threads are started when jobs need them and end with the host. */
export function ortJobs({ parallel = 1, threads = Math.max(1, Math.floor(availableParallelism() / parallel)) }: OrtJobsOptions = {}): JobHost & AsyncDisposable {
  const idle: SessionHost[] = [];
  const all = new Set<SessionHost>();
  const waiting: ((host: SessionHost) => void)[] = [];

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
    openShelf: openFolderShelf,
    async prepare(model, options = {}) {
      const stored = await storeForJobs(model, options);
      return { kind: 'model', reference: stored.model, [Symbol.asyncDispose]: stored.cleanup };
    },
    async run<Input, Output>({ module, name }: Job<Input, Output>, input: Input, { signal, onProgress, seed, transfer }: JobOptions = {}): Promise<Output> {
      signal?.throwIfAborted();
      const host = await take();
      try {
        const output = await host.call('job', { module, name, input, seed, threads }, {
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
    },
  };
}
