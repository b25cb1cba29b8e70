/** Squares of an activation per channel, summed over rows. */
import { channelsOf, type CollectorFactory, floatsOf } from './collector.js';

export interface NormsStatistic {
  /** Σ x² per channel. */
  squares: Float64Array;
  rows: number;
}

/** Into the first one. */
export function mergeNorms(a: NormsStatistic, b: NormsStatistic): NormsStatistic {
  for (let c = 0; c < a.squares.length; c++) a.squares[c]! += b.squares[c]!;
  return { ...a, rows: a.rows + b.rows };
}

export const norms: CollectorFactory<NormsStatistic> = (value) => {
  let squares: Float64Array | undefined;
  let rows = 0;
  return {
    async add(tensor) {
      const data = floatsOf(value, tensor);
      const channels = channelsOf(value, tensor, squares?.length);
      squares ??= new Float64Array(channels);
      for (let at = 0; at < data.length; at += channels) for (let c = 0; c < channels; c++) squares[c]! += data[at + c]! ** 2;
      rows += data.length / channels;
    },
    result: () => ({ squares: squares ?? new Float64Array(0), rows }),
  };
};
