/** A job of core that a worker of a fleet runs: its name, and the file with its input. */
import { EXPR_VERSION, PenjingError } from '@penjing/core';
import type { Json } from '@penjing/parallel';
import type { SharedFile } from './parcel.js';
import type { SharedPath } from './shared-roots.js';

export interface ComputeJobSpec {
  /** Workers of another version would compute something else. */
  readonly version: number;
  /** One that every worker knows: jobs name no module. */
  readonly job: string;
  readonly input: SharedFile;
  /** Of ONNX Runtime, as many as the run would use itself: its results may depend on them. */
  readonly threads: number;
  readonly seed: number | null;
  /** Of the run: spilled tensors and kept results lie in it. */
  readonly work: SharedPath;
  /** Where the output goes. */
  readonly folder: SharedPath;
}

/** An error that another worker would give too is an answer. */
export type ComputeJobResult = { readonly output: SharedFile } | { readonly error: { readonly code: `E_${string}`; readonly message: string; readonly hint: string | null } };

/** Raised when jobs take or give something else than before. */
const VERSION = EXPR_VERSION * 1000 + 1;
const MOST_THREADS = 1024;

export function computeJob(spec: Omit<ComputeJobSpec, 'version'>): Json {
  return { version: VERSION, ...spec } as unknown as Json;
}

/** Throws `E_UNSUPPORTED` for a job of another version. */
export function readComputeJob(spec: Json): ComputeJobSpec {
  const job = spec as unknown as ComputeJobSpec;
  if (job.version !== VERSION) throw new PenjingError('E_UNSUPPORTED', `the job is of version ${String(job.version)}, this worker of ${VERSION}`, { hint: 'Run the same version of Penjing on all machines.' });
  if (!Number.isInteger(job.threads) || job.threads < 1 || job.threads > MOST_THREADS) throw new PenjingError('E_DATA', `the job asks for ${String(job.threads)} threads`);
  return job;
}
