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

const wholeMib = (bytes: number): number => Math.ceil(bytes / MIB) * MIB;

/** As Kubernetes and Compose write it. */
export const mib = (bytes: number): number => bytes / MIB;
