/** Ranges of the values of a plan, from samples that the model runs on. */
import { type Feeds, type JobHost, type Model, type TaskOptions, type Value } from '@penjing/core';
import { calibrateBlocks, type HistogramStatistic, type ValueRange } from '@penjing/core/calibrate';
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
  const left = new Set(values);
  let taken: Value[] = [];
  const blocks = calibrateBlocks(model, {
    ...options, jobs,
    collect(block) {
      const known = new Set([...block.inputs, ...block.nodes.flatMap((node) => [...node.outputs])]);
      taken = [...left].filter((value) => known.has(value));
      return taken.map(({ name }) => ({ value: name, statistic: 'histogram' as const }));
    },
  });
  for await (const { statistic } of blocks) {
    const usable: { value: Value; histogram: HistogramStatistic }[] = [];
    for (const value of taken) {
      left.delete(value);
      const histogram = statistic(value.name, 'histogram');
      if (histogram.nonFinite > 0) unusable.set(value, `${value.name} held ${histogram.nonFinite} values that are not finite`);
      else if (histogram.counts.length === 0) unusable.set(value, `${value.name} was empty in every sample`);
      else usable.push({ value, histogram });
    }
    if (usable.length === 0) continue;
    const found = await jobs.run(rangesJob, { histograms: usable.map(({ histogram }) => histogram), method, percent }, { ...(signal && { signal }) });
    usable.forEach(({ value }, i) => ranges.set(value, found[i]!));
  }
  for (const value of left) unusable.set(value, `${value.name} is computed in no block`);
  return { ranges, unusable };
}
