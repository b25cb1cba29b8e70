/** Smallest and largest value of an activation. */
import { type CollectorFactory, floatsOf } from './collector.js';

export interface RangeStatistic {
  min: number;
  max: number;
  count: number;
}

export function mergeRanges(a: RangeStatistic, b: RangeStatistic): RangeStatistic {
  return { min: Math.min(a.min, b.min), max: Math.max(a.max, b.max), count: a.count + b.count };
}

export const range: CollectorFactory<RangeStatistic> = (value, { kernels }) => {
  const seen = { min: Infinity, max: -Infinity, count: 0 };
  return {
    async add(tensor) {
      const data = floatsOf(value, tensor);
      const { min, max } = kernels.minMax(data);
      seen.min = Math.min(seen.min, min);
      seen.max = Math.max(seen.max, max);
      seen.count += data.length;
    },
    result: () => seen,
  };
};
