/** What a deployment needs, from the size of its models. */
import type { DeploymentOptions } from './deployment.js';

export interface Resources {
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly cpus: number;
  /** Until all models are loaded, at the slowest. */
  readonly startSeconds: number;
}

const MIB = 2 ** 20;
/** Measured on Node 20: the server has 100 to 120 MB, the process of a model of 17 MB 220 MB when it is loaded and 300 MB with eight texts under way. ONNX Runtime has weights twice while it packs them. */
const SERVER_BYTES = 192 * MIB;
const PROCESS_BYTES = 320 * MIB;
const WEIGHT_COPIES = 2;
/** Long contexts and large batches come on top. */
const LIMIT_SHARE = 1.5;
/** A network disk that is read for the first time. */
const BYTES_PER_SECOND = 50e6;
const START_SECONDS = 60;

export function resourcesOf({ models, threads }: Pick<DeploymentOptions, 'models' | 'threads'>): Resources {
  const weights = models.reduce((sum, { bytes }) => sum + bytes, 0);
  const memoryBytes = wholeMib(SERVER_BYTES + models.length * PROCESS_BYTES + weights * WEIGHT_COPIES);
  return {
    memoryBytes,
    memoryLimitBytes: wholeMib(memoryBytes * LIMIT_SHARE),
    cpus: threads * Math.max(1, models.length),
    startSeconds: Math.ceil(START_SECONDS + weights / BYTES_PER_SECOND),
  };
}

/** Of a server whose model runs elsewhere. `bytes` are read by the stages before it is ready. */
export function frontResources(bytes: number): Resources {
  return withLimit(SERVER_BYTES + PROCESS_BYTES, 1, bytes);
}

/** Of a stage: what the plan forecasts, and its process. All read the whole file when they start. */
export function stageResources({ memory, cpus, bytes }: { readonly memory: number; readonly cpus: number; readonly bytes: number }): Resources {
  return withLimit(PROCESS_BYTES + memory, cpus, bytes);
}

/** Of a worker: jobs stream weights from file to file. */
const JOB_BYTES = 1024 * MIB;

export function workerResources(threads: number): Resources {
  return withLimit(PROCESS_BYTES + JOB_BYTES, threads, 0);
}

function withLimit(bytes: number, cpus: number, read: number): Resources {
  const memoryBytes = wholeMib(bytes);
  return { memoryBytes, memoryLimitBytes: wholeMib(memoryBytes * LIMIT_SHARE), cpus, startSeconds: Math.ceil(START_SECONDS + read / BYTES_PER_SECOND) };
}

const wholeMib = (bytes: number): number => Math.ceil(bytes / MIB) * MIB;

/** As Kubernetes and Compose write it. */
export const mib = (bytes: number): number => bytes / MIB;
