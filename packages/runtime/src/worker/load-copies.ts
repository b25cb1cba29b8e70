/** A stored model that is loaded several times: in this thread, and in threads of their own that run beside it. */
import { workerData } from 'node:worker_threads';
import { type Executor, tensorType, type ValueInfo } from '@penjing/core';
import { OrtExecutor } from '../engine/executor.js';
import type { SessionOptions } from '../engine/settings.js';
import { SessionHost } from '../session-host.js';
import { loadStored, type StoredForJobs, storedSettings } from './local-engine.js';
import { RunGate } from './run-gate.js';
import type { SessionTable } from './session-table.js';
import type { SessionValue } from './wire-types.js';

/** The last one is of this thread. All have an equal share of `threads`, at least one each. */
export async function loadCopies(sessions: SessionTable, stored: StoredForJobs, count: number, options: SessionOptions): Promise<Executor[]> {
  const shared = { ...options, ...(options.threads !== undefined && { threads: Math.max(1, Math.floor(options.threads / count)) }) };
  const executors: Executor[] = [];
  try {
    for (let i = 1; i < count; i++) executors.push(await loadApart(stored, shared));
    executors.push(await loadStored(sessions, stored, shared));
    return executors;
  } catch (error) {
    for (const executor of executors) await executor[Symbol.asyncDispose]();
    throw error;
  }
}

async function loadApart(stored: StoredForJobs, options: SessionOptions): Promise<Executor> {
  const { gate } = (workerData ?? {}) as { readonly gate?: SharedArrayBuffer };
  const host = new SessionHost(undefined, gate && new RunGate(gate));
  try {
    const { handle, inputs, outputs } = await host.call('open', { source: stored.source, settings: storedSettings(stored, options) });
    return new OrtExecutor(host, { handle, inputs: inputs.map(infoOf), outputs: outputs.map(infoOf), session: { inputs, outputs }, bytes: stored.weights.bytes, cleanup: async () => {} });
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw error;
  }
}

const infoOf = ({ name, dtype, shape }: SessionValue): ValueInfo => ({ name, type: tensorType(dtype, shape) });
