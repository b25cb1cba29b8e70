/** Samples that are given once, for passes that run a model over them more than once. */
import { type DenseTensor, type Feeds, type JobHost, PenjingError, type TaskOptions } from '@penjing/core';

/** Lies on a shelf of the host, on disk where it has one, until it is disposed. Throws `E_DATA` when there are none. */
export interface KeptSamples extends AsyncIterable<Feeds>, AsyncDisposable {}

export async function keepSamples(samples: AsyncIterable<Feeds> | Iterable<Feeds>, jobs: JobHost, { signal }: TaskOptions): Promise<KeptSamples> {
  const shelf = await jobs.openShelf();
  const names: string[][] = [];
  const place = (sample: number, name: string): string => `${sample}/${name}`;
  try {
    for await (const feeds of samples) {
      signal?.throwIfAborted();
      for (const [name, tensor] of Object.entries(feeds)) {
        if (tensor.kind !== 'dense') throw new PenjingError('E_DATA', `the input ${name} of sample ${names.length} is a ${tensor.kind} tensor`, { hint: 'Calibration takes numbers.' });
        await shelf.put(place(names.length, name), tensor);
      }
      names.push(Object.keys(feeds));
    }
  } catch (error) {
    await shelf[Symbol.asyncDispose]();
    throw error;
  }
  return {
    async *[Symbol.asyncIterator]() {
      for (const [sample, inputs] of names.entries()) {
        const feeds: Record<string, DenseTensor> = {};
        for (const name of inputs) feeds[name] = await shelf.get(place(sample, name));
        yield feeds;
      }
    },
    [Symbol.asyncDispose]: () => shelf[Symbol.asyncDispose](),
  };
}
