/** How often an activation has which value: a histogram whose bins grow with its range, in bounded memory. */
import { type CollectorFactory, floatsOf } from './collector.js';

/**
 * Bin i holds the values x with first + i ≤ x / width < first + i + 1. The width is the smallest power of two for which all values
 * seen fit into MAX_BINS bins. Bins therefore start at multiples of their width, two of them merge into one exactly, and the result
 * does not depend on the order or the grouping of what was added.
 */
export interface HistogramStatistic {
  width: number;
  first: number;
  counts: Float64Array;
  min: number;
  max: number;
  /** NaN and infinities, which are in no bin. */
  nonFinite: number;
}

/** Sixteen bins for each of the 256 codes of 8 bits, so that thresholds fall between bins to 1/16 of a step; 32 KB. */
export const MAX_BINS = 4096;
// The smallest float32: every float32 is a multiple of it.
const FINEST = 2 ** -149;

export const histogram: CollectorFactory<HistogramStatistic> = (value, { kernels }) => {
  let seen = emptyHistogram();
  return {
    async add(tensor) {
      const data = floatsOf(value, tensor);
      const { min, max } = kernels.minMax(data);
      seen = addTo(seen, data, min, max);
    },
    result: () => seen,
  };
};

export function emptyHistogram(): HistogramStatistic {
  return { width: FINEST, first: 0, counts: new Float64Array(0), min: Infinity, max: -Infinity, nonFinite: 0 };
}

export function mergeHistograms(a: HistogramStatistic, b: HistogramStatistic): HistogramStatistic {
  const nonFinite = a.nonFinite + b.nonFinite;
  if (a.min > a.max) return { ...b, nonFinite };
  if (b.min > b.max) return { ...a, nonFinite };
  const covered = { min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) };
  const [ours, theirs] = [grown(a, covered), grown(b, covered)];
  return { ...ours, ...covered, counts: ours.counts.map((count, bin) => count + theirs.counts[bin]!), nonFinite };
}

/** `min` and `max` are those of the data; they are looked for again when they are no numbers. */
export function addTo(seen: HistogramStatistic, data: Float32Array, min: number, max: number): HistogramStatistic {
  const [lowest, highest] = Number.isFinite(min) && Number.isFinite(max) ? [min, max] : finiteRange(data);
  if (lowest > highest) return { ...seen, nonFinite: seen.nonFinite + data.length };
  const covered = { min: Math.min(seen.min, lowest), max: Math.max(seen.max, highest) };
  const { width, first, counts } = grown(seen, covered);
  let missing = 0;
  // Both are powers of two, so that the product is as exact as the quotient; the least one has a reciprocal too in float64.
  const perUnit = 1 / width;
  for (let i = 0; i < data.length; i++) {
    // NaN and infinities fall into no bin.
    const at = Math.floor(data[i]! * perUnit) - first;
    if (at >= 0 && at < counts.length) counts[at]!++;
    else missing++;
  }
  return { width, first, counts, ...covered, nonFinite: seen.nonFinite + missing };
}

function finiteRange(data: Float32Array): [number, number] {
  let lowest = Infinity;
  let highest = -Infinity;
  for (let i = 0; i < data.length; i++) {
    const x = data[i]!;
    if (!Number.isFinite(x)) continue;
    if (x < lowest) lowest = x;
    if (x > highest) highest = x;
  }
  return [lowest, highest];
}

/** The same counts in bins that cover [min, max]. */
function grown(seen: HistogramStatistic, { min, max }: { readonly min: number; readonly max: number }): HistogramStatistic {
  let { width } = seen;
  while (Math.floor(max / width) - Math.floor(min / width) + 1 > MAX_BINS) width *= 2;
  const first = Math.floor(min / width);
  const length = Math.floor(max / width) - first + 1;
  if (width === seen.width && first === seen.first && length === seen.counts.length) return seen;
  const counts = new Float64Array(length);
  const ratio = width / seen.width;
  for (let i = 0; i < seen.counts.length; i++) if (seen.counts[i]! > 0) counts[Math.floor((seen.first + i) / ratio) - first]! += seen.counts[i]!;
  return { ...seen, width, first, counts };
}
