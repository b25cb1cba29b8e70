/** From readings of the server's metrics to the lines of each chart. */
import { type Filter, growth, percentiles, rate, type Reading, total } from './prometheus.js';
import type { TextKey } from '../text/text.js';

export interface Point {
  readonly time: number;
  readonly value: number | undefined;
}

export interface Series {
  readonly label: string;
  readonly points: readonly Point[];
}

export interface ChartSpec {
  readonly title: TextKey;
  readonly unit: TextKey;
  /** Of the server as a whole: its metrics do not tell models apart. */
  readonly whole?: boolean;
  /** Of each line: its words, and its value at a reading, given the one before and all of them. */
  readonly lines: readonly { readonly label: TextKey | `p${number}`; readonly at: (window: Window) => number | undefined }[];
}

/** What a line sees of the readings. */
export interface Window {
  readonly now: Reading;
  readonly before: Reading;
  /** Some readings back: percentiles and means of few observations jump. */
  readonly earlier: Reading;
  /** Passes the samples of the chosen model. */
  readonly model: Filter;
}

/** Routes that run models; those that this page polls are left out. */
const WORK = /^\/(v1\/(chat\/completions|completions|embeddings)|v2\/models\/.*(infer|generate\w*))$/;
const isWork: Filter = ({ route = '' }) => WORK.test(route);
const withStatus = (test: (status: number) => boolean): Filter => (labels) => isWork(labels) && test(Number(labels['status']));
const refused = (status: number): boolean => status === 429 || status === 503;

const latency = (share: number) => ({ now, earlier }: Window): number | undefined => scaled(percentiles(earlier, now, 'penjing_http_request_duration_seconds', [share], isWork)[0], 1000);

const scaled = (value: number | undefined, factor: number): number | undefined => (value === undefined ? undefined : value * factor);

export const charts: readonly ChartSpec[] = [
  {
    title: 'monitor.requests',
    unit: 'monitor.requests.unit',
    whole: true,
    lines: [
      { label: 'monitor.ok', at: ({ before, now }) => rate(before, now, 'penjing_http_requests_total', withStatus((status) => status < 400)) ?? 0 },
      { label: 'monitor.failed', at: ({ before, now }) => rate(before, now, 'penjing_http_requests_total', withStatus((status) => status >= 400 && !refused(status))) ?? 0 },
      { label: 'monitor.refused', at: ({ before, now }) => rate(before, now, 'penjing_http_requests_total', withStatus(refused)) ?? 0 },
    ],
  },
  {
    title: 'monitor.latency',
    unit: 'monitor.latency.unit',
    whole: true,
    lines: [
      { label: 'p50', at: latency(0.5) },
      { label: 'p95', at: latency(0.95) },
      { label: 'p99', at: latency(0.99) },
    ],
  },
  {
    title: 'monitor.tokens',
    unit: 'monitor.tokens.unit',
    lines: [
      { label: 'monitor.generated', at: ({ before, now, model }) => rate(before, now, 'penjing_written_tokens_total', model) ?? 0 },
      { label: 'monitor.prompt', at: ({ before, now, model }) => rate(before, now, 'penjing_prompt_tokens_total', model) ?? 0 },
    ],
  },
  {
    title: 'monitor.queue',
    unit: 'monitor.queue.unit',
    lines: [
      { label: 'monitor.waitingRequests', at: ({ now, model }) => total(now, 'penjing_waiting_requests', model) ?? 0 },
      { label: 'monitor.running', at: ({ now, model }) => total(now, 'penjing_active_requests', model) ?? 0 },
    ],
  },
  {
    title: 'monitor.batch',
    unit: 'monitor.batch.unit',
    lines: [{ label: 'monitor.batchMean', at: ({ earlier, now, model }) => mean(earlier, now, 'penjing_batch_rows', model) }],
  },
  {
    title: 'monitor.memory',
    unit: 'monitor.memory.unit',
    lines: [
      { label: 'monitor.models', at: ({ now, model }) => scaled(total(now, 'penjing_model_memory_bytes', model), 1e-6) },
      { label: 'monitor.server', at: ({ now }) => scaled(total(now, 'penjing_server_process_resident_memory_bytes'), 1e-6) },
    ],
  },
];

function mean(from: Reading, to: Reading, name: string, filter: Filter): number | undefined {
  const count = growth(from, to, `${name}_count`, filter);
  const sum = growth(from, to, `${name}_sum`, filter);
  return count === undefined || sum === undefined || count === 0 ? undefined : sum / count;
}

/** Readings between which percentiles and means are taken. */
const SMOOTH = 8;

/** One point per reading after the first. */
export function seriesOf({ lines }: ChartSpec, readings: readonly Reading[], model: string, words: (label: TextKey | `p${number}`) => string): Series[] {
  const filter: Filter = model === '' ? () => true : (labels) => labels['model'] === model;
  return lines.map(({ label, at }) => ({
    label: words(label),
    points: readings.slice(1).map((now, i) => ({ time: now.time, value: at({ now, before: readings[i]!, earlier: readings[Math.max(0, i + 1 - SMOOTH)]!, model: filter }) })),
  }));
}

/** Names of models that have samples of their own. */
export function modelNames(reading: Reading | undefined): string[] {
  return [...new Set((reading?.samples.get('penjing_model_ready') ?? []).map(({ labels }) => labels['model'] ?? ''))].filter((name) => name !== '').sort();
}
