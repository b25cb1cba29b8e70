/** Hashes tensors in a worker thread, piece by piece. */
import { type Job, jobModule, type TensorReference } from '@penjing/core';
import { hashReference, type StoredTensor } from './stored-tensor.js';

/** Of type, shape and bytes of each, in order. */
export const digestJob: Job<readonly TensorReference[], readonly string[]> = {
  module: jobModule(import.meta.url, './digest-job'),
  name: 'digestJob',
  async run(tensors, { kernels, signal }) {
    const hashes: string[] = [];
    for (const { reference } of tensors) {
      signal?.throwIfAborted();
      hashes.push(await hashReference(reference as StoredTensor, kernels));
    }
    return hashes;
  },
};
