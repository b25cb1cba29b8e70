/** Magnitudes of an activation per channel, averaged over rows. */
import { channelsOf, type CollectorFactory, floatsOf } from './collector.js';

export interface MagnitudesStatistic {
  /** Mean |x| per channel. */
  means: Float32Array;
  rows: number;
}

export const magnitudes: CollectorFactory<MagnitudesStatistic> = (value) => {
  let sums: Float64Array | undefined;
  let rows = 0;
  return {
    async add(tensor) {
      const data = floatsOf(value, tensor);
      const channels = channelsOf(value, tensor, sums?.length);
      sums ??= new Float64Array(channels);
      for (let at = 0; at < data.length; at += channels) for (let c = 0; c < channels; c++) sums[c]! += Math.abs(data[at + c]!);
      rows += data.length / channels;
    },
    result: () => ({ means: Float32Array.from(sums ?? [], (sum) => sum / Math.max(1, rows)), rows }),
  };
};
