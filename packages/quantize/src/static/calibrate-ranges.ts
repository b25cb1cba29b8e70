/** Ranges of the values of a plan, from samples that the model runs on. */
import { type Feeds, type JobHost, type Model, type TaskOptions, type Value } from '@penjing/core';
import type { ValueRange } from '@penjing/core/calibrate';
import { gatherValues } from '../gather-values.js';
import { type RangeMethod, rangesJob } from './ranges-job.js';

export interface RangeOptions extends TaskOptions {
  readonly jobs: JobHost;
  readonly samples: AsyncIterable<Feeds> | Iterable<Feeds>;
  readonly method: RangeMethod;
  readonly percent: number;
}

export interface MeasuredRanges {
  readonly ranges: ReadonlyMap<Value, ValueRange>;
  /** Values that held no numbers at all, or some that are not finite. */
  readonly unusable: ReadonlyMap<Value, string>;
}

/** Runs the model block by block; values are those of the main graph. */
export async function measureRanges(model: Model, values: ReadonlySet<Value>, { method, percent, jobs, ...options }: RangeOptions): Promise<MeasuredRanges> {
  const { signal } = options;
  const ranges = new Map<Value, ValueRange>();
  const unusable = new Map<Value, string>();
  for await (const gathered of gatherValues(model, values, 'histogram', { ...options, jobs })) {
    const usable: typeof gathered[number][] = [];
    for (const found of gathered) {
      const { value, statistic } = found;
      if (statistic.nonFinite > 0) unusable.set(value, `${value.name} held ${statistic.nonFinite} values that are not finite`);
      else if (statistic.counts.length === 0) unusable.set(value, `${value.name} was empty in every sample`);
      else usable.push(found);
    }
    if (usable.length === 0) continue;
    const found = await jobs.run(rangesJob, { histograms: usable.map(({ statistic }) => statistic), method, percent }, { ...(signal && { signal }) });
    usable.forEach(({ value }, i) => ranges.set(value, found[i]!));
  }
  for (const value of values) if (!ranges.has(value) && !unusable.has(value)) unusable.set(value, `${value.name} is computed in no block`);
  return { ranges, unusable };
}
