/** Worker threads that run jobs of core, each with ONNX Runtime and kernels of its own. */
import type { Transferable } from 'node:worker_threads';
import type { JobOptions, Progress } from '@penjing/core';
import { SessionHost } from '../session-host.js';
import type { JobParams } from '../worker/run-job.js';

export interface JobThreads extends AsyncDisposable {
  run(params: Omit<JobParams, 'seed'>, options?: JobOptions): Promise<unknown>;
}

/** Jobs at the same time, each in a thread of its own. Threads are started when jobs need them, and those that died replaced. */
export function openJobThreads(parallel: number): JobThreads {
  const idle: SessionHost[] = [];
  const all = new Set<SessionHost>();
  let closed = false;
  const waiting: ((host: SessionHost) => void)[] = [];

  function start(): SessionHost {
    const started = new SessionHost();
    all.add(started);
    return started;
  }

  async function take(): Promise<SessionHost> {
    for (let host = idle.pop(); host; host = idle.pop()) {
      if (!host.failed || closed) return host;
      await drop(host);
    }
    if (all.size < parallel) return start();
    return new Promise((resolve) => waiting.push(resolve));
  }

  async function give(host: SessionHost): Promise<void> {
    if (host.failed && !closed) return drop(host);
    const next = waiting.shift();
    if (next) next(host);
    else idle.push(host);
  }

  /** A thread that died leaves its place to a new one. */
  async function drop(host: SessionHost): Promise<void> {
    all.delete(host);
    waiting.shift()?.(start());
    await host[Symbol.asyncDispose]();
  }

  return {
    async run(params, { signal, stop, onProgress, seed, transfer } = {}) {
      signal?.throwIfAborted();
      const host = await take();
      try {
        return await host.call('job', { ...params, seed }, {
          ...(signal && { signal }),
          ...(stop && { stop }),
          ...(transfer && { transfer: transfer as readonly Transferable[] }),
          ...(onProgress && { onEvent: (event: Progress) => onProgress(event) }),
        });
      } finally {
        await give(host);
      }
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      await Promise.all([...all].map((host) => host[Symbol.asyncDispose]()));
    },
  };
}
