/** What a job gathers of one value: it is asked for the whole, or for a state with which another job goes on. In one job or in many, the bits are the same. */
import type { JobContext, Shelf } from '../job.js';
import type { DenseTensor } from '../tensor.js';
import type { Collected, NamedRequest } from './block-job.js';
import { collectors, type GatheredName, type StatisticName, type StatisticState, type Statistics } from './collectors/index.js';
import type { CollectorTools, PartCollector } from './collectors/collector.js';
import type { GramState, GramStatistic } from './collectors/gram.js';
import { deleteState, readState, storeGram, storeState, type StoredState } from './collectors/hessian.js';

/** Of a part of the samples, or of many: plain data, for `Gatherer.resume`. */
export interface CollectedPart {
  readonly result: StatisticState<Exclude<GatheredName, 'gram'>> | StoredState;
  readonly broken: number | undefined;
}

export interface Gatherer {
  readonly value: string;
  /** `broken` is the sample, where the tensor holds what is not finite. */
  add(tensor: DenseTensor, broken: number | undefined): Promise<void>;
  endPart(): Promise<void>;
  /** What was asked for; large statistics are put on the shelf. */
  finish(large: Shelf): Promise<Collected>;
  /** What is large is put on the shelf, under a name that is unlike those of others. */
  pause(shelf: Shelf, suffix: string): Promise<CollectedPart>;
  resume(part: CollectedPart, read: JobContext['read']): Promise<void>;
}

export function gatherer({ value, statistic, name, identity }: NamedRequest, tools: CollectorTools): Gatherer {
  const large = gatheredAs(statistic) === 'gram';
  const collector = collectors[gatheredAs(statistic)](value, tools) as PartCollector<Statistics[GatheredName], StatisticState<GatheredName>>;
  let first: number | undefined;
  return {
    value,
    async add(tensor, broken) {
      first ??= broken;
      await collector.add(tensor);
    },
    endPart: () => collector.endPart(),
    async finish(shelf) {
      const result = await collector.result();
      return { value, statistic, broken: first, result: statistic === 'hessian' ? await storeGram(result as GramStatistic, shelf, name, identity) : result };
    },
    async pause(shelf, suffix) {
      const state = await collector.pause();
      return { broken: first, result: large ? await storeState(state as GramState, shelf, name + suffix) : (state as Exclude<typeof state, GramState>) };
    },
    async resume({ result, broken }, read) {
      first ??= broken;
      await collector.resume(large ? await readState(result as StoredState, read) : (result as Exclude<typeof result, StoredState>));
    },
  };
}

/** Deletes what `pause` put there. */
export async function forgetPart({ statistic, name }: NamedRequest, shelf: Shelf, suffix: string): Promise<void> {
  if (gatheredAs(statistic) === 'gram') await deleteState(shelf, name + suffix);
}

/** A Hessian is a Gram that is then put on disk. */
function gatheredAs(statistic: StatisticName): GatheredName {
  return statistic === 'hessian' ? 'gram' : statistic;
}
