/** Reads Prometheus' text format (exposition format 0.0.4) and computes what charts show: rates, sums, percentiles. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One reading of all metrics. */
export interface Reading {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
}

// A page that polls cannot take more; a server with a thousand models has some 50,000 lines.
const MAX_LINES = 200_000;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const escapes: Readonly<Record<string, string>> = { n: '\n', '\\': '\\', '"': '"' };

/** Lines that are not understood are left out. */
export function readMetrics(text: string, time: number): Reading {
  const samples = new Map<string, Sample[]>();
  for (const line of text.split('\n', MAX_LINES)) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, labels, value] = LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) continue;
    const sample = { name, labels: readLabels(labels ?? ''), value: value === '+Inf' ? Infinity : value === '-Inf' ? -Infinity : Number(value) };
    const list = samples.get(name);
    if (list) list.push(sample);
    else samples.set(name, [sample]);
  }
  return { time, samples };
}

function readLabels(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(LABEL)].map(([, name, value]) => [name!, value!.replace(/\\(.)/g, (_, letter: string) => escapes[letter] ?? letter)]));
}

export type Filter = (labels: Readonly<Record<string, string>>) => boolean;

/** Sum of a metric over the samples that pass; undefined when there is none. */
export function total({ samples }: Reading, name: string, filter: Filter = () => true): number | undefined {
  const found = samples.get(name)?.filter(({ labels }) => filter(labels)) ?? [];
  return found.length > 0 ? found.reduce((sum, { value }) => sum + value, 0) : undefined;
}

/** What a counter grew between two readings; a counter that fell was started anew. */
export function growth(from: Reading, to: Reading, name: string, filter?: Filter): number | undefined {
  const after = total(to, name, filter);
  if (after === undefined) return undefined;
  const before = total(from, name, filter) ?? 0;
  return after >= before ? after - before : after;
}

/** Growth per second. */
export function rate(from: Reading, to: Reading, name: string, filter?: Filter): number | undefined {
  const grown = growth(from, to, name, filter);
  return grown === undefined || to.time <= from.time ? undefined : (grown * 1000) / (to.time - from.time);
}

/**
 * The values below which shares `q` of a histogram's observations between two readings lie, linear within a bucket as
 * Prometheus' `histogram_quantile`; undefined when nothing was observed.
 */
export function percentiles(from: Reading, to: Reading, name: string, shares: readonly number[], filter: Filter = () => true): readonly (number | undefined)[] {
  const bounds = new Map<number, number>();
  for (const { labels, value } of to.samples.get(`${name}_bucket`) ?? []) if (filter(labels)) add(bounds, labels, value);
  const before = new Map<number, number>();
  for (const { labels, value } of from.samples.get(`${name}_bucket`) ?? []) if (filter(labels)) add(before, labels, value);
  const buckets = [...bounds].sort(([a], [b]) => a - b).map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)] as const);
  const all = buckets.at(-1)?.[1] ?? 0;
  if (all <= 0) return shares.map(() => undefined);
  return shares.map((share) => {
    const rank = share * all;
    const i = buckets.findIndex(([, count]) => count >= rank);
    const [low, under] = i > 0 ? buckets[i - 1]! : [0, 0];
    const [high, count] = buckets[i]!;
    if (!Number.isFinite(high)) return low;
    return count > under ? low + ((high - low) * (rank - under)) / (count - under) : high;
  });
}

function add(bounds: Map<number, number>, { le }: Readonly<Record<string, string>>, value: number): void {
  const bound = le === '+Inf' ? Infinity : Number(le);
  bounds.set(bound, (bounds.get(bound) ?? 0) + value);
}
