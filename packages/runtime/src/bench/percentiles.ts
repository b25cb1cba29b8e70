/** Percentiles of measured times. */

export interface Latency {
  readonly count: number;
  readonly mean: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** Milliseconds in, milliseconds out; percentiles by linear interpolation between the two nearest measurements. */
export function latencyOf(times: readonly number[]): Latency {
  const sorted = Float64Array.from(times).sort();
  return {
    count: sorted.length,
    mean: sorted.reduce((sum, time) => sum + time, 0) / sorted.length,
    min: sorted[0] ?? NaN,
    p50: percentile(sorted, 0.5),
    p90: percentile(sorted, 0.9),
    p99: percentile(sorted, 0.99),
  };
}

function percentile(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) return NaN;
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(sorted.length - 1, low + 1);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}
