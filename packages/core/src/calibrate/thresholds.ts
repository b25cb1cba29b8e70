/** Ranges for a grid of few levels, chosen from a histogram: what is clipped against how fine the steps are. */
import type { HistogramStatistic } from './collectors/histogram.js';

export interface ValueRange {
  readonly min: number;
  readonly max: number;
}

/**
 * Cuts the largest magnitudes off, 100 − percent per cent of the values at most, at the edge of a bin: from the end that is farther from
 * zero, so that a long tail on one side has all of the cut.
 */
export function percentileRange({ counts, first, width, min, max }: HistogramStatistic, percent: number): ValueRange {
  let left = (counts.reduce((sum, count) => sum + count, 0) * (100 - percent)) / 100;
  let [low, high] = [0, counts.length - 1];
  while (low < high) {
    const fromLow = -(first + low) > first + high + 1;
    left -= counts[fromLow ? low : high]!;
    if (left < 0) break;
    if (fromLow) low++;
    else high--;
  }
  return { min: Math.max(min, (first + low) * width), max: Math.min(max, (first + high + 1) * width) };
}

/** Bins of magnitudes that entropy is computed with, and how far the thresholds tried are apart. */
const ENTROPY_BINS = 2048;
const ENTROPY_STEP = 16;

/**
 * The threshold on magnitudes whose quantized distribution diverges least from the clipped one (Migacz 2017, "8-bit inference with
 * TensorRT": KL(P ‖ Q), P with what is clipped in its last bin that is not empty, Q the bins below it in as many groups as there are levels, each
 * spread over the bins that are not empty). 128 levels of magnitude for values of both signs, 256 for one.
 */
export function entropyRange(histogram: HistogramStatistic): ValueRange {
  const { min, max } = histogram;
  const levels = min < 0 && max > 0 ? 128 : 256;
  const { bins: counted, width } = magnitudes(histogram);
  const bins = withoutSpikes(counted);
  let best = { divergence: Infinity, size: bins.length };
  for (let size = bins.length; size > levels; size -= ENTROPY_STEP) {
    const divergence = clippedDivergence(bins, size, levels);
    if (divergence < best.divergence) best = { divergence, size };
  }
  const threshold = best.size * width;
  return { min: Math.max(min, -threshold), max: Math.min(max, threshold) };
}

/** Bins on either side that tell what is usual about a bin, four groups of the widest threshold; and how far above that a spike is. */
const NEIGHBOURS = 64;
const SPIKE = 2;

/**
 * Many elements may hold one value: the zeros of a Relu or of padding, what a convolution makes of a plain background. Any grid keeps it
 * to half a step, but the divergence grows with the share of such a bin times the logarithm of how many bins share its group, and calls
 * for ever smaller thresholds (of a network for digits: 7 to 11 % clipped, seven digits in a hundred wrong). It is therefore computed with the density between spikes: a bin that is more than `SPIKE` times the median
 * of its neighbours, empty ones aside, is taken for that median.
 */
function withoutSpikes(bins: Float64Array): Float64Array {
  return bins.map((count, i) => {
    if (count === 0) return 0;
    const near = [...bins.subarray(Math.max(0, i - NEIGHBOURS), i), ...bins.subarray(i + 1, i + 1 + NEIGHBOURS)].filter((other) => other > 0).sort((a, b) => a - b);
    const usual = near[near.length >> 1];
    return usual !== undefined && count > SPIKE * usual ? usual : count;
  });
}

/** Counts of |x| in bins from 0 on, few enough for entropy. */
function magnitudes({ counts, first, width, min, max }: HistogramStatistic): { bins: Float64Array; width: number } {
  const largest = Math.max(Math.abs(min), Math.abs(max));
  let wide = width;
  while (largest / wide > ENTROPY_BINS) wide *= 2;
  const bins = new Float64Array(Math.floor(largest / wide) + 1);
  for (let i = 0; i < counts.length; i++) {
    // The middle of a bin of negative values lies in the bin of magnitudes that mirrors it.
    const at = Math.floor(Math.abs((first + i + 0.5) * width) / wide);
    bins[Math.min(at, bins.length - 1)]! += counts[i]!;
  }
  return { bins, width: wide };
}

function clippedDivergence(bins: Float64Array, size: number, levels: number): number {
  let inside = 0;
  let outside = 0;
  for (let i = 0; i < bins.length; i++) {
    if (i < size) inside += bins[i]!;
    else outside += bins[i]!;
  }
  // The few values below a threshold that clips the most are alike enough to diverge from nothing.
  if (outside >= inside) return Infinity;
  let last = size - 1;
  while (bins[last] === 0) last--;
  const total = inside + outside;
  let divergence = 0;
  for (let level = 0; level < levels; level++) {
    const from = Math.floor((level * size) / levels);
    const to = Math.floor(((level + 1) * size) / levels);
    let sum = 0;
    let filled = 0;
    for (let i = from; i < to; i++) {
      sum += bins[i]!;
      if (bins[i]! > 0) filled++;
    }
    if (filled === 0) continue;
    const q = sum / filled / inside;
    for (let i = from; i < to; i++) {
      const p = (bins[i]! + (i === last ? outside : 0)) / total;
      if (p > 0) divergence += p * Math.log(p / q);
    }
  }
  return divergence;
}

/** Shares of each end of the range that are tried, coarse then fine. */
const MSE_STEPS = [0.04, 0.01] as const;
const MSE_TRIES = 24;

/**
 * The range, within that of the values and around zero, whose grid of `levels` + 1 points has the least mean squared error: from the
 * whole range inwards, one end at a time until neither gets better. Symmetric ranges move both ends together.
 */
export function mseRange(histogram: HistogramStatistic, { levels = 255, symmetric = false }: { readonly levels?: number; readonly symmetric?: boolean } = {}): ValueRange {
  const largest = Math.max(-histogram.min, histogram.max);
  const whole = symmetric ? { min: -largest, max: largest } : { min: Math.min(0, histogram.min), max: Math.max(0, histogram.max) };
  let shares = { low: 1, high: 1 };
  let best = gridError(histogram, whole, levels);
  const rangeOf = ({ low, high }: typeof shares): ValueRange => ({ min: whole.min * low, max: whole.max * high });
  const ends = symmetric ? [['low', 'high']] as const : [['high'], ['low']] as const;
  for (const step of MSE_STEPS) {
    for (let improved = true; improved;) {
      improved = false;
      for (const end of ends) {
        const start = shares;
        for (let k = -MSE_TRIES; k <= MSE_TRIES; k++) {
          const share = start[end[0]] + k * step;
          if (k === 0 || share <= 0 || share > 1) continue;
          const tried = { ...start, ...Object.fromEntries(end.map((name) => [name, share])) };
          const error = gridError(histogram, rangeOf(tried), levels);
          if (error >= best) continue;
          best = error;
          shares = tried;
          improved = true;
        }
      }
    }
  }
  return rangeOf(shares);
}

/** Σ (x − x̂)² over the histogram, each value at the middle of its bin, on a grid with a point at zero. */
export function gridError({ counts, first, width }: HistogramStatistic, { min, max }: ValueRange, levels: number): number {
  const scale = (max - min) / levels;
  if (!(scale > 0)) return Infinity;
  const zeroPoint = Math.round(-min / scale);
  let sum = 0;
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i]!;
    if (count === 0) continue;
    const x = (first + i + 0.5) * width;
    const code = Math.max(0, Math.min(levels, Math.round(x / scale) + zeroPoint));
    sum += count * (x - (code - zeroPoint) * scale) ** 2;
  }
  return sum;
}
