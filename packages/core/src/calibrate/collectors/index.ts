/** What calibration gathers of an activation, in memory that does not grow with the number of samples: one row per statistic. */
import { channelRange, type ChannelRangeStatistic, mergeChannelRanges } from './channel-range.js';
import type { CollectorTools, PartCollector } from './collector.js';
import { gram, type GramState, type GramStatistic } from './gram.js';
import type { HessianStatistic } from './hessian.js';
import { histogram, type HistogramStatistic, mergeHistograms } from './histogram.js';
import { inParts } from './in-parts.js';
import { magnitudes, type MagnitudesStatistic, mergeMagnitudes } from './magnitudes.js';
import { mergeNorms, norms, type NormsStatistic } from './norms.js';
import { mergeRanges, range, type RangeStatistic } from './range.js';

/** Kinds of statistics, each of float32 tensors whose last dimension is the channels. */
export interface Statistics {
  range: RangeStatistic;
  histogram: HistogramStatistic;
  channelRange: ChannelRangeStatistic;
  norms: NormsStatistic;
  magnitudes: MagnitudesStatistic;
  gram: GramStatistic;
  hessian: HessianStatistic;
}

export type StatisticName = keyof Statistics;

/** What is gathered in memory; a Hessian is a Gram that is then put on disk. */
export type GatheredName = Exclude<StatisticName, 'hessian'>;

/** What is kept of a statistic under way. */
export type StatisticState<Name extends GatheredName> = Name extends 'gram' ? GramState : Statistics[Name];

/** Channels of the activation, by those statistics that tell. */
export const statisticChannels: { readonly [Name in StatisticName]?: (statistic: Statistics[Name]) => number } = {
  channelRange: ({ min }) => min.length,
  norms: ({ squares }) => squares.length,
  magnitudes: ({ means }) => means.length,
  gram: ({ channels }) => channels,
  hessian: ({ channels }) => channels,
};

export const collectors: { readonly [Name in GatheredName]: (value: string, tools: CollectorTools) => PartCollector<Statistics[Name], StatisticState<Name>> } = {
  range: inParts(range, { merge: mergeRanges }),
  histogram: inParts(histogram, { merge: mergeHistograms }),
  channelRange: inParts(channelRange, { merge: mergeChannelRanges, channels: statisticChannels.channelRange }),
  norms: inParts(norms, { merge: mergeNorms, channels: statisticChannels.norms }),
  magnitudes: inParts(magnitudes, { merge: mergeMagnitudes, channels: statisticChannels.magnitudes }),
  gram,
};

/** Bytes that the statistic of an activation with so many channels takes, for those where it matters. */
export const statisticBytes: { readonly [Name in StatisticName]?: (channels: number) => number } = {
  gram: (channels) => 4 * channels ** 2,
  hessian: (channels) => 4 * channels ** 2,
};

/** What a field of a statistic holds: a number, an array, or a square matrix that may lie on disk. */
export type StatisticField = 'number' | 'float32' | 'float64' | 'square';

/** The fields of those that are kept; `gram` is for those who want it in memory. */
export const statisticFields: { readonly [Name in Exclude<StatisticName, 'gram'>]: { readonly [Field in keyof Statistics[Name]]: StatisticField } } = {
  range: { min: 'number', max: 'number', count: 'number' },
  histogram: { width: 'number', first: 'number', counts: 'float64', min: 'number', max: 'number', nonFinite: 'number' },
  channelRange: { min: 'float32', max: 'float32', rows: 'number' },
  norms: { squares: 'float64', rows: 'number' },
  magnitudes: { means: 'float32', rows: 'number' },
  hessian: { sums: 'square', channels: 'number', rows: 'number' },
};

/** Raised when a collector gives something else than before: what was stored is gathered anew. */
export const COLLECTORS_VERSION = 3;
