/** A job that gives what a reference refers to, as the worker reads it. */
import { type Job, jobModule, type TensorReference } from '@penjing/core';

export const readJob: Job<TensorReference, readonly number[]> = {
  module: jobModule(import.meta.url, './read-job'),
  name: 'readJob',
  run: async (reference, { read }) => [...((await read(reference)).data as Float32Array)],
};
