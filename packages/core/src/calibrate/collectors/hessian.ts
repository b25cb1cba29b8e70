/** XᵀX on disk: what is large need not be in memory before a job reads it. */
import type { JobContext, TensorReference } from '../../job.js';
import { DenseTensor } from '../../tensor.js';
import type { GramStatistic } from './gram.js';

export interface HessianStatistic {
  /** (channels, channels), for `readHessian` in a job. */
  readonly sums: TensorReference;
  readonly channels: number;
  /** Rows seen. */
  readonly rows: number;
}

/** `put` takes it out of memory. */
export async function storeGram({ sums, channels, rows }: GramStatistic, put: (tensor: DenseTensor) => Promise<TensorReference>): Promise<HessianStatistic> {
  return { sums: await put(DenseTensor.of('float32', [channels, channels], sums)), channels, rows };
}

export async function readGram({ sums, channels, rows }: HessianStatistic, read: JobContext['read']): Promise<GramStatistic> {
  return { sums: (await read(sums)).data as Float32Array, channels, rows };
}
