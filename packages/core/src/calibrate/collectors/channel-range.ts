/** Smallest and largest value of each channel of an activation. */
import { channelsOf, type CollectorFactory, floatsOf } from './collector.js';

export interface ChannelRangeStatistic {
  /** (channels) each. */
  min: Float32Array;
  max: Float32Array;
  rows: number;
}

/** Into the first one. */
export function mergeChannelRanges(a: ChannelRangeStatistic, b: ChannelRangeStatistic): ChannelRangeStatistic {
  for (let c = 0; c < a.min.length; c++) {
    if (b.min[c]! < a.min[c]!) a.min[c] = b.min[c]!;
    if (b.max[c]! > a.max[c]!) a.max[c] = b.max[c]!;
  }
  return { ...a, rows: a.rows + b.rows };
}

export const channelRange: CollectorFactory<ChannelRangeStatistic> = (value) => {
  let min: Float32Array | undefined;
  let max = new Float32Array(0);
  let rows = 0;
  return {
    async add(tensor) {
      const data = floatsOf(value, tensor);
      const channels = channelsOf(value, tensor, min?.length);
      if (!min) {
        min = new Float32Array(channels).fill(Infinity);
        max = new Float32Array(channels).fill(-Infinity);
      }
      for (let at = 0; at < data.length; at += channels) {
        for (let c = 0; c < channels; c++) {
          const x = data[at + c]!;
          if (x < min[c]!) min[c] = x;
          if (x > max[c]!) max[c] = x;
        }
      }
      rows += data.length / channels;
    },
    result: () => ({ min: min ?? new Float32Array(0), max, rows }),
  };
};
