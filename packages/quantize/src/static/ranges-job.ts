/** Chooses the ranges of activations from their histograms, off the calling thread. */
import { type Job, jobModule, PenjingError } from '@penjing/core';
import { entropyRange, type HistogramStatistic, mseRange, percentileRange, type ValueRange } from '@penjing/core/calibrate';

/** How a range is chosen: the whole of it, or the part that loses least by a criterion. */
export type RangeMethod = 'minmax' | 'percentile' | 'entropy' | 'mse';

export const rangeMethods: readonly RangeMethod[] = ['minmax', 'percentile', 'entropy', 'mse'];

export interface RangesInput {
  readonly histograms: readonly HistogramStatistic[];
  readonly method: RangeMethod;
  /** Of the values, kept by `percentile`. */
  readonly percent: number;
}

export const rangesJob: Job<RangesInput, readonly ValueRange[]> = { module: jobModule(import.meta.url, './ranges-job'), name: 'rangesJob', run: ranges };

const choosers: Readonly<Record<RangeMethod, (histogram: HistogramStatistic, percent: number) => ValueRange>> = {
  minmax: ({ min, max }) => ({ min, max }),
  percentile: percentileRange,
  entropy: entropyRange,
  mse: (histogram) => mseRange(histogram, { levels: 255 }),
};

async function ranges({ histograms, method, percent }: RangesInput): Promise<readonly ValueRange[]> {
  if (!Object.hasOwn(choosers, method)) throw new PenjingError('E_OPTION', `no way to choose ranges is named ${String(method)}`, { hint: `There are ${rangeMethods.join(', ')}.` });
  return histograms.map((histogram) => choosers[method](histogram, percent));
}
