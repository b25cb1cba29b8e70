/** The worker's side of calibration, rounding and teaching: runs jobs of core in threads of its own, their data in files that all machines see. */
import { stat } from 'node:fs/promises';
import { isPenjingError, PenjingError } from '@penjing/core';
import type { Json } from '@penjing/parallel';
import type { JobThreads } from '@penjing/runtime';
import { join } from 'node:path';
import { loadRuntime } from '../load-runtime.js';
import { type ComputeJobResult, readComputeJob } from './compute-job.js';
import type { Handler } from './handler.js';
import { jobTable } from './job-table.js';
import { readParcel, writeParcel } from './parcel.js';
import type { SharedPath, SharedRoots } from './shared-roots.js';

/** Of errors that follow from the input: passes know some of them and do without. */
const ANSWERS: ReadonlySet<string> = new Set(['E_DATA', 'E_DTYPE', 'E_GRAPH', 'E_OPTION', 'E_SHAPE', 'E_UNSUPPORTED']);

export function computeHandler(slots: number): Handler {
  let opened: JobThreads | undefined;
  return {
    async run(spec, { roots, signal }) {
      const { job: name, input, threads, seed, work: shared, folder } = readComputeJob(spec);
      const job = (await jobTable()).get(name);
      if (!job) throw new PenjingError('E_NOT_FOUND', `this worker knows no job ${JSON.stringify(name)}`);
      await checkRun(folder, roots);
      const work = await roots.find(shared);
      const { checkPrepared, openJobThreads, preparedModels } = await loadRuntime();
      const given = await readParcel(input, roots);
      for (const model of preparedModels(given)) await checkPrepared(model);
      opened ??= openJobThreads(slots);
      const params = { ...job, input: given, threads, spills: join(work, 'spills'), results: join(work, 'results') };
      const result = await opened.run(params, { signal, ...(seed !== null && { seed }) }).then(
        async (output): Promise<ComputeJobResult> => ({ output: await writeParcel(output, { folder: await checkRun(folder, roots), roots }) }),
        (error: unknown): ComputeJobResult => {
          if (!isPenjingError(error) || !ANSWERS.has(error.code)) throw error;
          return { error: { code: error.code, message: error.message, hint: error.hint ?? null } };
        },
      );
      return result as unknown as Json;
    },
    [Symbol.asyncDispose]: async () => opened?.[Symbol.asyncDispose](),
  };
}

/** A job of a run that was given up, or killed, must not write into the work folder of the one that took its place, nor bring it back. */
async function checkRun(folder: SharedPath, roots: SharedRoots): Promise<string> {
  const path = await roots.find(folder).catch((error: unknown) => {
    if (isPenjingError(error) && error.code === 'E_NOT_FOUND') throw over(error);
    throw error;
  });
  const found = await stat(path).catch((cause: unknown) => {
    throw over(cause);
  });
  if (!found.isDirectory()) throw over();
  return path;
}

function over(cause?: unknown): PenjingError {
  return new PenjingError('E_CANCELLED', 'the run that this job belongs to is over', { cause });
}
