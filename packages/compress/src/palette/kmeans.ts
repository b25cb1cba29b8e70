/** The best codebook of numbers: exact k-means on a line, by dynamic programming. */

/** Points on a line, ascending, each with a weight: what a histogram holds of many more. */
export interface Points {
  /** Σ s, Σ s·x and Σ s·x² of each, s the weight of x. */
  readonly weights: Float64Array;
  readonly sums: Float64Array;
  readonly squares: Float64Array;
}

export interface Codebook {
  /** Ascending; fewer than asked for when there are fewer points. */
  readonly entries: Float64Array;
  /** Σ s (x − entry)². */
  readonly cost: number;
}

/**
 * Minimises Σ s (x − entry)² over all codebooks of at most `count` entries, exactly. The clusters of an optimum are runs of
 * neighbours, and the last border moves right as points are added, so halving finds all borders of one more cluster in n log n steps
 * (Wang and Song 2011, Ckmeans.1d.dp; Grønlund et al. 2017, arXiv:1701.07204).
 */
export function bestCodebook({ weights, sums, squares }: Points, count: number): Codebook {
  const n = weights.length;
  if (n === 0) return { entries: new Float64Array([0]), cost: 0 };
  const clusters = Math.min(count, n);
  const [w, s, q] = [cumulated(weights), cumulated(sums), cumulated(squares)];
  /** Cost of points [from, to) as one cluster. */
  const cost = (from: number, to: number): number => {
    const weight = w[to]! - w[from]!;
    if (weight <= 0) return 0;
    const sum = s[to]! - s[from]!;
    return Math.max(0, q[to]! - q[from]! - (sum * sum) / weight);
  };
  let best = Float64Array.from({ length: n + 1 }, (_, to) => cost(0, to));
  /** borders[k][to]: first point of the last of k + 2 clusters of [0, to). */
  const borders: Int32Array[] = [];
  for (let k = 1; k < clusters; k++) {
    const next = new Float64Array(n + 1);
    const border = new Int32Array(n + 1);
    halve(k, n, k, n, { best, next, border, cost });
    best = next;
    borders.push(border);
  }
  const entries = new Float64Array(clusters);
  for (let k = clusters - 1, to = n; k >= 0; k--) {
    const from = k === 0 ? 0 : borders[k - 1]![to]!;
    const weight = w[to]! - w[from]!;
    // points that weigh nothing have no mean: any of them will do
    entries[k] = weight > 0 ? (s[to]! - s[from]!) / weight : (entries[k + 1] ?? 0);
    to = from;
  }
  return { entries: entries.sort(), cost: best[n]! };
}

interface Layer {
  readonly best: Float64Array;
  readonly next: Float64Array;
  readonly border: Int32Array;
  readonly cost: (from: number, to: number) => number;
}

/** Fills next[low…high], whose borders lie between `first` and `last`. */
function halve(low: number, high: number, first: number, last: number, layer: Layer): void {
  if (low > high) return;
  const { best, next, border, cost } = layer;
  const middle = (low + high) >> 1;
  let least = Infinity;
  let at = first;
  for (let from = first; from <= Math.min(last, middle); from++) {
    const total = best[from]! + cost(from, middle);
    if (total < least) {
      least = total;
      at = from;
    }
  }
  next[middle] = least;
  border[middle] = at;
  halve(low, middle - 1, first, at, layer);
  halve(middle + 1, high, at, last, layer);
}

function cumulated(values: Float64Array): Float64Array {
  const sums = new Float64Array(values.length + 1);
  for (let i = 0; i < values.length; i++) sums[i + 1] = sums[i]! + values[i]!;
  return sums;
}
