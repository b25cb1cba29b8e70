/** Samples that are read more than once, and need not be in memory meanwhile. */
import type { Feeds } from '../engine.js';
import { PenjingError } from '../errors.js';
import type { JobHost } from '../job.js';
import type { TaskOptions } from '../task.js';
import type { DenseTensor } from '../tensor.js';

export interface KeptSamples extends AsyncDisposable {
  /** As often as one likes, in the order in which they came. */
  readonly samples: AsyncIterable<Feeds>;
  readonly count: number;
  /** One of them, counted from 0. */
  readonly at: (index: number) => Promise<Feeds>;
}

/** Puts samples on a shelf of the host, one at a time, from where they come back one at a time; disposing deletes them. Throws `E_DATA` for feeds that are no plain tensors. */
export async function keepSamples(jobs: Pick<JobHost, 'openShelf'>, samples: AsyncIterable<Feeds> | Iterable<Feeds>, { signal }: Pick<TaskOptions, 'signal'> = {}): Promise<KeptSamples> {
  const shelf = await jobs.openShelf();
  const names: string[][] = [];
  try {
    for await (const feeds of samples) {
      signal?.throwIfAborted();
      const entries = Object.entries(feeds);
      for (const [name, tensor] of entries) {
        if (tensor.kind !== 'dense') throw new PenjingError('E_DATA', `sample ${names.length} has ${tensor.kind} data for ${name}`);
        await shelf.put(`${names.length}/${name}`, tensor);
      }
      names.push(entries.map(([name]) => name));
    }
  } catch (error) {
    await shelf[Symbol.asyncDispose]();
    throw error;
  }
  const at = async (sample: number): Promise<Feeds> => {
    const feeds: Record<string, DenseTensor> = {};
    for (const name of names[sample] ?? []) feeds[name] = await shelf.get(`${sample}/${name}`);
    return feeds;
  };
  return {
    count: names.length,
    at,
    samples: {
      async *[Symbol.asyncIterator]() {
        for (let sample = 0; sample < names.length; sample++) yield await at(sample);
      },
    },
    [Symbol.asyncDispose]: () => shelf[Symbol.asyncDispose](),
  };
}
