/** Magnitudes of an activation per channel, averaged over rows. */
import { channelsOf, type CollectorFactory, floatsOf } from './collector.js';

export interface MagnitudesStatistic {
  /** Mean |x| per channel. */
  means: Float32Array;
  rows: number;
}

/** Means weigh as many rows as they are of. */
export function mergeMagnitudes(a: MagnitudesStatistic, b: MagnitudesStatistic): MagnitudesStatistic {
  const rows = a.rows + b.rows;
  return { means: a.means.map((mean, c) => (mean * a.rows + b.means[c]! * b.rows) / Math.max(1, rows)), rows };
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
