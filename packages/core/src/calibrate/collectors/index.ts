/** What calibration gathers of an activation, in memory that does not grow with the number of samples: one row per statistic. */
import { channelRange, type ChannelRangeStatistic } from './channel-range.js';
import type { CollectorFactory } from './collector.js';
import { gram, type GramStatistic } from './gram.js';
import { histogram, type HistogramStatistic } from './histogram.js';
import { magnitudes, type MagnitudesStatistic } from './magnitudes.js';
import { norms, type NormsStatistic } from './norms.js';
import { range, type RangeStatistic } from './range.js';

/** Kinds of statistics, each of float32 tensors whose last dimension is the channels. */
export interface Statistics {
  range: RangeStatistic;
  histogram: HistogramStatistic;
  channelRange: ChannelRangeStatistic;
  norms: NormsStatistic;
  magnitudes: MagnitudesStatistic;
  gram: GramStatistic;
}

export type StatisticName = keyof Statistics;

export const collectors: { readonly [Name in StatisticName]: CollectorFactory<Statistics[Name]> } = { range, histogram, channelRange, norms, magnitudes, gram };

/** Bytes that the statistic of an activation with so many channels takes, for those where it matters. */
export const statisticBytes: { readonly [Name in StatisticName]?: (channels: number) => number } = {
  gram: (channels) => 4 * channels ** 2,
};
