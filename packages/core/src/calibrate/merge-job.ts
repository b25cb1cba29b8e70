/** Merges what jobs have gathered of parts of the samples: one matrix of a part, and the sum, are in memory at a time. */
import { type Job, type JobContext, jobModule, type ShelfReference } from '../job.js';
import { matrixProducts } from '../linalg/products.js';
import type { Collected, NamedRequest } from './block-job.js';
import { type CollectedPart, gatherer } from './gatherer.js';

export interface MergeJobInput {
  /** In the order of the samples: what has been gathered of each request. It stays on the shelf, since a job may be run again. */
  readonly parts: readonly (readonly CollectedPart[])[];
  readonly collect: readonly NamedRequest[];
  readonly shelf: ShelfReference;
  /** Where large statistics go; absent when parts are still missing, so that the result is a part too. */
  readonly large: ShelfReference | undefined;
  /** Of the result, when it is a part. */
  readonly suffix: string;
}

export const mergeJob: Job<MergeJobInput, readonly (Collected | CollectedPart)[]> = { module: jobModule(import.meta.url, './merge-job'), name: 'mergeJob', run: mergeParts };

async function mergeParts({ parts, collect, shelf: reference, large, suffix }: MergeJobInput, { engine, kernels, read, shelf: openShelf, signal }: JobContext): Promise<readonly (Collected | CollectedPart)[]> {
  await using products = matrixProducts(engine);
  const shelf = openShelf(reference);
  const merged: (Collected | CollectedPart)[] = [];
  for (const [i, request] of collect.entries()) {
    const gathered = gatherer(request, { kernels, products });
    for (const found of parts) {
      signal?.throwIfAborted();
      await gathered.resume(found[i]!, read);
    }
    merged.push(large ? await gathered.finish(openShelf(large)) : await gathered.pause(shelf, suffix));
  }
  return merged;
}
