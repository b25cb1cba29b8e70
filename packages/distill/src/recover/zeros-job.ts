/** Counts the zeros of weights, one weight in memory at a time. */
import { type Job, type JobContext, jobModule, type TensorReference } from '@penjing/core';

export interface ZerosInput {
  /** Float tensors. */
  readonly tensors: readonly TensorReference[];
}

export interface ZerosOutput {
  /** Elements that are 0 or −0, of each. */
  readonly zeros: readonly number[];
}

export const zerosJob: Job<ZerosInput, ZerosOutput> = { module: jobModule(import.meta.url, './zeros-job'), name: 'zerosJob', run: countZeros };

async function countZeros({ tensors }: ZerosInput, { read, signal }: JobContext): Promise<ZerosOutput> {
  const zeros: number[] = [];
  for (const reference of tensors) {
    signal?.throwIfAborted();
    // Half floats are raw bits; their −0 is one bit away from 0, and pruning writes 0.
    const { data } = await read(reference);
    let count = 0;
    for (let i = 0; i < data.length; i++) if (data[i] === 0) count++;
    zeros.push(count);
  }
  return { zeros };
}
