/** Statistics of parts of the samples become those of all, in the order of the parts: gathered in one job or in many, the bits are the same. */
import type { JobContext, Shelf } from '../job.js';
import type { Collected, NamedRequest } from './block-job.js';
import { type GatheredName, merges, type StatisticName, type Statistics } from './collectors/index.js';
import { type HessianStatistic, readGram, storeGram } from './collectors/hessian.js';
import type { GramStatistic } from './collectors/gram.js';

/** In memory. */
export interface Gathered extends Omit<Collected, 'statistic' | 'result'> {
  readonly statistic: GatheredName;
  readonly result: Statistics[GatheredName];
}

export function gatheredAs(statistic: StatisticName): GatheredName {
  return statistic === 'hessian' ? 'gram' : statistic;
}

/** The first one may be overwritten. */
export function mergeGathered(a: Gathered, b: Gathered): Gathered {
  const merge = merges[a.statistic] as (a: Gathered['result'], b: Gathered['result']) => Gathered['result'];
  return { ...a, result: merge(a.result, b.result), broken: a.broken ?? b.broken };
}

/** What was asked for: large statistics are put on the shelf. */
export async function finishGathered(gathered: readonly Gathered[], wanted: readonly NamedRequest[], large: Shelf): Promise<readonly Collected[]> {
  const finished: Collected[] = [];
  for (const [i, { value, result, broken }] of gathered.entries()) {
    const { statistic, name, identity } = wanted[i]!;
    finished.push({ value, statistic, broken, result: statistic === 'hessian' ? await storeGram(result as GramStatistic, async (tensor) => {
      await large.put(name, tensor);
      return { ...(await large.refer(name)), ...(identity !== undefined && { identity }) };
    }) : result });
  }
  return finished;
}

/** Reads what another job finished. */
export async function readFinished({ value, statistic, result, broken }: Collected, read: JobContext['read']): Promise<Gathered> {
  return { value, broken, statistic: gatheredAs(statistic), result: statistic === 'hessian' ? await readGram(result as HessianStatistic, read) : (result as Gathered['result']) };
}
