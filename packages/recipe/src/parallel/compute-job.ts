/** A job of core that a worker of a fleet runs: its name, and the file with its input. */
import { createRequire } from 'node:module';
import { EXPR_VERSION, PenjingError } from '@penjing/core';
import { packageVersions } from '@penjing/graph-io/node';
import type { Json } from '@penjing/parallel';
import type { SharedFile } from './parcel.js';
import type { SharedPath } from './shared-roots.js';

export interface ComputeJobSpec {
  /** Workers of another version would understand something else. */
  readonly version: number;
  /** Of what computes: workers with others would give other bits. */
  readonly packages: readonly string[];
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
const VERSION = EXPR_VERSION * 1000 + 2;
const MOST_THREADS = 1024;

let known: readonly string[] | undefined;

/** Where the jobs come from, and what they compute with. */
function computingPackages(): readonly string[] {
  if (known) return known;
  const passes = packageVersions(import.meta.url, ['@penjing/core', '@penjing/kernels', '@penjing/graph-io', '@penjing/quantize', '@penjing/compress', '@penjing/distill', '@penjing/runtime']);
  const require = createRequire(import.meta.url);
  try {
    return (known = [...passes, ...packageVersions(require.resolve('@penjing/runtime/package.json'), ['onnxruntime-node'])]);
  } catch {
    // Without a runtime nothing is computed: `loadRuntime` says so.
    return passes;
  }
}

export function computeJob(spec: Omit<ComputeJobSpec, 'version' | 'packages'>): Json {
  return { version: VERSION, packages: computingPackages(), ...spec } as unknown as Json;
}

/** Throws `E_UNSUPPORTED` for a job of another version, or one that other packages would compute. */
export function readComputeJob(spec: Json): ComputeJobSpec {
  const job = spec as unknown as ComputeJobSpec;
  if (job.version !== VERSION) throw new PenjingError('E_UNSUPPORTED', `the job is of version ${String(job.version)}, this worker of ${VERSION}`, { hint: 'Run the same version of Penjing on all machines.' });
  const packages = computingPackages();
  const given: readonly unknown[] = Array.isArray(job.packages) ? job.packages : [];
  const other = packages.findIndex((name, i) => name !== given[i]);
  if (other !== -1) throw new PenjingError('E_UNSUPPORTED', `the job wants ${String(given[other])}, this worker has ${packages[other]}`, { hint: 'Run the same version of Penjing on all machines.' });
  if (!Number.isInteger(job.threads) || job.threads < 1 || job.threads > MOST_THREADS) throw new PenjingError('E_DATA', `the job asks for ${String(job.threads)} threads`);
  return job;
}
