/** Runs a job of core in this worker: imports its module, gives it an engine and kernels of this thread. */
import { type Job, PenjingError, type Progress } from '@penjing/core';
import { packageOf } from '@penjing/graph-io/node';
import { type Kernels, wasmKernels } from '@penjing/kernels';
import { engineVersions } from '../engine-versions.js';
import { folderShelf } from '../jobs/folder-shelf.js';
import { readReference, spillTensor, type StoredTensor } from '../jobs/stored-tensor.js';
import { type StoredForJobs, loadStored, localEngine } from './local-engine.js';
import { keptResult } from './kept-result.js';
import { loadCopies } from './load-copies.js';
import type { SessionTable } from './session-table.js';
import type { CallContext } from './wire-types.js';

export interface JobParams {
  /** URL of the module, and the name under which it exports the job. */
  readonly module: string;
  readonly name: string;
  readonly input: unknown;
  readonly seed: number | undefined;
  readonly threads: number | undefined;
  /** Where results are spilled. */
  readonly spills: string;
  /** Where the outputs of repeatable jobs are kept; undefined keeps none. */
  readonly results: string | undefined;
}

let kernels: Kernels | undefined;

export async function runJob(sessions: SessionTable, { module, name, input, seed, threads, spills, results }: JobParams, { signal, emit, transfer }: CallContext<Progress>): Promise<unknown> {
  const exports = (await import(module)) as Readonly<Record<string, Job<unknown, unknown> | undefined>>;
  const job = exports[name];
  if (typeof job?.run !== 'function') throw new PenjingError('E_WORKER', `${module} exports no job ${name}`);
  kernels ??= wasmKernels();
  // Jobs run blocks and gradients, whose intermediate values are large and short-lived.
  const options = { ...(threads !== undefined && { threads }), memoryPattern: false };
  const kept = job.repeatable && results !== undefined ? keptResult(results, { name, seed, threads, versions: [packageOf(module) ?? module, ...engineVersions()] }, input) : undefined;
  const known = await kept?.read();
  if (known !== undefined) return known;
  const output = await job.run(input, {
    engine: localEngine(sessions, options),
    kernels,
    load: ({ reference }) => loadStored(sessions, reference as StoredForJobs, options),
    loadCopies: ({ reference }, count) => loadCopies(sessions, reference as StoredForJobs, count, options),
    shelf: ({ reference }) => folderShelf(reference as string),
    read: async ({ reference }) => readReference(reference as StoredTensor, kernels!),
    spill: async (tensor) => ({ kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape, reference: await spillTensor(spills, tensor) }),
    signal,
    onProgress: emit,
    ...(seed !== undefined && { seed }),
  });
  await kept?.write(output);
  transfer.push(...wholeBuffers(output));
  return output;
}

/** Buffers that belong to one typed array of plain data and can go with it. */
function wholeBuffers(value: unknown, found = new Set<ArrayBuffer>()): Set<ArrayBuffer> {
  if (ArrayBuffer.isView(value)) {
    if (value.buffer instanceof ArrayBuffer && value.byteLength === value.buffer.byteLength) found.add(value.buffer);
  } else if (typeof value === 'object' && value !== null) {
    for (const item of value instanceof Map ? value.values() : Object.values(value)) wholeBuffers(item, found);
  }
  return found;
}
