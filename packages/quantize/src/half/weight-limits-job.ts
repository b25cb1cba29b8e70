/** The largest finite magnitude of each of some weights, one in memory at a time, off the calling thread. */
import { type Job, type JobContext, jobModule, type TensorReference } from '@penjing/core';

export interface WeightLimitsInput {
  /** Float32. */
  readonly weights: readonly TensorReference[];
}

export const weightLimitsJob: Job<WeightLimitsInput, readonly number[]> = { module: jobModule(import.meta.url, './weight-limits-job'), name: 'weightLimitsJob', run: weightLimits };

async function weightLimits({ weights }: WeightLimitsInput, { read, kernels, signal }: JobContext): Promise<readonly number[]> {
  const limits: number[] = [];
  for (const weight of weights) {
    signal?.throwIfAborted();
    const data = (await read(weight)).data as Float32Array;
    limits.push(kernels.errorStats(data, data).nonFinite > 0 ? finiteMagnitude(data) : kernels.absMax(data));
  }
  return limits;
}

/** Infinities, as in masks, are float16 too. */
export function finiteMagnitude(data: Float32Array): number {
  let most = 0;
  for (const x of data) if (Number.isFinite(x) && Math.abs(x) > most) most = Math.abs(x);
  return most;
}
