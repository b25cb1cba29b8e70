/** One sweep of a block over all samples, in as many jobs as the host has use for. */
import { inLanes } from '../in-lanes.js';
import type { JobHost, PreparedModel, Shelf, ShelfReference } from '../job.js';
import type { TaskOptions } from '../task.js';
import { type BlockJobInput, blockJob, type Collected, type SampleRange, shelfName } from './block-job.js';
import { type CollectedPart, forgetPart } from './gatherer.js';
import { mergeJob } from './merge-job.js';

export interface BlockSweep extends Omit<BlockJobInput, 'model' | 'shelf' | 'large' | 'parts' | 'suffix'> {
  readonly model: PreparedModel | undefined;
  /** What the inputs are taken from and the outputs put on. */
  readonly shelf: Shelf & ShelfReference;
  /** Where large statistics go. */
  readonly large: ShelfReference;
  /** How many there are. */
  readonly samples: number;
}

/** What has been gathered of each request, and the suffix of what of that is on the shelf. */
interface NamedParts {
  readonly found: readonly CollectedPart[];
  readonly suffix: string;
}

/**
 * Samples whose statistics are gathered together before they are added to those of others, in a job of their own where jobs run at the same time. Always the same, so that the
 * result does not depend on who computes it.
 */
const PART = 8;

export async function sweepBlock(jobs: JobHost, sweep: BlockSweep, task: Pick<TaskOptions, 'signal'>): Promise<readonly Collected[]> {
  const { model, shelf, large, samples, drop, collect, ...values } = sweep;
  const common = { ...values, collect, model: model && { kind: model.kind, reference: model.reference }, shelf: plain(shelf), large: plain(large) };
  const parts = partsOf(samples);
  if (jobs.parallel === 1) return (await jobs.run(blockJob, { ...common, parts, drop, suffix: undefined }, task)) as readonly Collected[];
  let merged: NamedParts[] = [];
  let finished: readonly Collected[] = [];
  // As many at a time as jobs run: matrices of parts wait on disk, which must not grow with the samples.
  for (let start = 0; start < parts.length; start += jobs.parallel) {
    const found = await inLanes(parts.slice(start, start + jobs.parallel), jobs.parallel, async (part, i, signal): Promise<NamedParts> => {
      const suffix = ` part ${start + i}`;
      return { suffix, found: (await jobs.run(blockJob, { ...common, parts: [part], drop: [], suffix }, { signal })) as readonly CollectedPart[] };
    }, task.signal);
    if (collect.length === 0) continue;
    const last = start + jobs.parallel >= parts.length;
    const suffix = ` before part ${start + jobs.parallel}`;
    const all = [...merged, ...found];
    const result = await jobs.run(mergeJob, { parts: all.map((part) => part.found), collect, shelf: common.shelf, large: last ? common.large : undefined, suffix }, task);
    for (const part of all) for (const request of collect) await forgetPart(request, shelf, part.suffix);
    if (last) finished = result as readonly Collected[];
    else merged = [{ suffix, found: result as readonly CollectedPart[] }];
  }
  // Not before all are done: a job may be run again elsewhere.
  for (let sample = 0; sample < samples; sample++) for (const name of drop) await shelf.delete(shelfName(sample, name));
  return finished;
}

function partsOf(samples: number): SampleRange[] {
  return Array.from({ length: Math.ceil(samples / PART) }, (_, i) => ({ start: i * PART, end: Math.min(samples, (i + 1) * PART) }));
}

function plain({ kind, reference }: ShelfReference): ShelfReference {
  return { kind, reference };
}
