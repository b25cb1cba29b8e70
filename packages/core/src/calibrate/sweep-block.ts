/** One sweep of a block over all samples, in as many jobs as the host has use for. */
import { inLanes } from '../in-lanes.js';
import type { JobHost, PreparedModel, Shelf, ShelfReference } from '../job.js';
import type { TaskOptions } from '../task.js';
import { type BlockJobInput, blockJob, type Collected, type SampleRange, shelfName } from './block-job.js';
import { mergeJob, partRequest } from './merge-job.js';

export interface BlockSweep extends Omit<BlockJobInput, 'model' | 'shelf' | 'large' | 'parts'> {
  readonly model: PreparedModel | undefined;
  /** What the inputs are taken from and the outputs put on. */
  readonly shelf: Shelf & ShelfReference;
  /** Where large statistics go. */
  readonly large: ShelfReference;
  /** How many there are. */
  readonly samples: number;
}

/**
 * Samples whose statistics are gathered together before they are added to those of others, in a job of their own where jobs run at the same time. Always the same, so that the
 * result does not depend on who computes it.
 */
const PART = 8;

export async function sweepBlock(jobs: JobHost, { model, shelf, large, samples, collect, drop, ...values }: BlockSweep, task: Pick<TaskOptions, 'signal'>): Promise<readonly Collected[]> {
  const common = { ...values, model: model && { kind: model.kind, reference: model.reference }, shelf: plain(shelf), large: plain(large) };
  const parts = partsOf(samples);
  if (jobs.parallel === 1) return jobs.run(blockJob, { ...common, parts, collect, drop }, task);
  const found = await inLanes(parts, jobs.parallel, (part, i) => jobs.run(blockJob, { ...common, parts: [part], collect: collect.map((request) => partRequest(request, i)), drop: [] }, task));
  // Not before all are done: a job may be run again elsewhere.
  for (let sample = 0; sample < samples; sample++) for (const name of drop) await shelf.delete(shelfName(sample, name));
  return collect.length === 0 ? [] : jobs.run(mergeJob, { parts: found, collect, large: common.large }, task);
}

function partsOf(samples: number): SampleRange[] {
  return Array.from({ length: Math.ceil(samples / PART) }, (_, i) => ({ start: i * PART, end: Math.min(samples, (i + 1) * PART) }));
}

function plain({ kind, reference }: ShelfReference): ShelfReference {
  return { kind, reference };
}
