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
  return {
    count: names.length,
    samples: {
      async *[Symbol.asyncIterator]() {
        for (const [sample, list] of names.entries()) {
          const feeds: Record<string, DenseTensor> = {};
          for (const name of list) feeds[name] = await shelf.get(`${sample}/${name}`);
          yield feeds;
        }
      },
    },
    [Symbol.asyncDispose]: () => shelf[Symbol.asyncDispose](),
  };
}
