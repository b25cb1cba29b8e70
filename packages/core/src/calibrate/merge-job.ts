/** Merges what jobs have gathered of parts of the samples: one matrix of a part is in memory at a time. */
import { type Job, type JobContext, jobModule, type ShelfReference } from '../job.js';
import type { Collected, NamedRequest } from './block-job.js';
import { finishGathered, type Gathered, mergeGathered, readFinished } from './merge-parts.js';

export interface MergeJobInput {
  /** Of each part, in the order of the samples: what `partRequest` made of the requests. */
  readonly parts: readonly (readonly Collected[])[];
  readonly collect: readonly NamedRequest[];
  /** Where large statistics are, and go. */
  readonly large: ShelfReference;
}

export const mergeJob: Job<MergeJobInput, readonly Collected[]> = { module: jobModule(import.meta.url, './merge-job'), name: 'mergeJob', run: mergeParts };

/** What a job that has one part of the samples gathers: large statistics go to disk under a name of their own. */
export function partRequest({ value, statistic, name }: NamedRequest, part: number): NamedRequest {
  return { value, statistic: statistic === 'gram' ? 'hessian' : statistic, name: `${name} part ${part}`, identity: undefined };
}

async function mergeParts({ parts, collect, large: reference }: MergeJobInput, { read, shelf, signal }: JobContext): Promise<readonly Collected[]> {
  const large = shelf(reference);
  const merged: Collected[] = [];
  for (const [i, request] of collect.entries()) {
    let sum: Gathered | undefined;
    for (const part of parts) {
      signal?.throwIfAborted();
      const next = await readFinished(part[i]!, read);
      sum = sum ? mergeGathered(sum, next) : next;
    }
    if (sum) merged.push(...(await finishGathered([sum], [request], large)));
    for (const part of parts.keys()) await large.delete(partRequest(request, part).name);
  }
  return merged;
}
