/** Samples on their way to the blocks of a model: one at a time, onto a shelf. */
import { sha256 } from '../digest.js';
import type { Feeds } from '../engine.js';
import { PenjingError } from '../errors.js';
import type { Model } from '../graph/model.js';
import type { Shelf } from '../job.js';
import { shelfName } from './block-job.js';

export interface ShelveOptions {
  readonly samples: AsyncIterable<Feeds> | Iterable<Feeds>;
  readonly signal?: AbortSignal;
  /** Hashes what is fed. */
  readonly hashed: boolean;
}

/** Puts the inputs of every sample on the shelf. `hash` is that of all feeds in order, empty unless asked for. Throws `E_DATA`. */
export async function shelveSamples({ graph }: Model, shelf: Shelf, { samples, signal, hashed }: ShelveOptions): Promise<{ readonly count: number; readonly hash: string }> {
  let count = 0;
  let hash = '';
  for await (const feeds of samples) {
    signal?.throwIfAborted();
    for (const { name } of graph.inputs) {
      const tensor = feeds[name];
      if (graph.initializers.has(name) && !tensor) continue;
      if (tensor?.kind !== 'dense') throw new PenjingError('E_DATA', `sample ${count} has no tensor for the input ${name}`, { hint: `Every sample gives ${graph.inputs.map((input) => input.name).join(', ')}.` });
      await shelf.put(shelfName(count, name), tensor);
      if (hashed) hash = await sha256(hash, JSON.stringify([count, name, tensor.dtype, tensor.shape]), tensor.bytes);
    }
    count++;
  }
  if (count === 0) throw new PenjingError('E_DATA', 'there are no samples to calibrate with');
  return { count, hash };
}
