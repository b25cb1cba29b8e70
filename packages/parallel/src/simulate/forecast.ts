/** What a layout is expected to cost: one request alone, and many that follow each other, on the simulated devices. */
import type { CostBook } from '../cost/cost-book.js';
import type { Forecast, Layout, Part } from '../plan/plan.js';
import { devicesOf, layoutTasks, pieceRows, type TaskLabel } from './layout-tasks.js';
import { simulate } from './simulate.js';
import { tensorProgram } from './tensor-segments.js';
import type { Topology } from './topology.js';

export interface Span extends TaskLabel {
  /** Seconds from the request. */
  readonly from: number;
  readonly to: number;
}

export interface ForecastDetails {
  readonly forecast: Forecast;
  /** What happens when, for one request. */
  readonly timeline: readonly Span[];
}

/** Requests of the stream from which the throughput is read, at least one for each replica: enough that filling and draining do not count. */
const STREAM = 12;
/** A simulation of more tasks than this says the same about fewer requests. */
const MAX_TASKS = 60_000;
/** Seconds below which nothing is told apart. */
const SHORTEST = 1e-9;

export interface ForecastOptions {
  readonly layout: Layout;
  readonly book: CostBook;
  readonly place: Topology;
  /** Requests per second of one device alone, for the efficiency. */
  readonly alone?: number;
}

export function forecastOf({ layout, book, place, alone }: ForecastOptions): ForecastDetails {
  const devices = devicesOf(layout);
  const run = (requests: number, window: number) => {
    const made = layoutTasks({ layout, book, place, requests, window });
    return { ...made, ...simulate({ resources: place.resources, tasks: made.tasks, contention: place.contention }) };
  };
  const one = run(1, 1);
  const latency = one.end[one.ends[0]!]!;
  const round = roundOf(layout);
  const perRequest = layoutTasks({ layout, book, place, requests: 1, window: 2 }).tasks.length;
  // Whole rounds: each replica then has as many as every other, and waits for no other.
  const inRounds = (count: number): number => Math.max(1, Math.ceil(count / round)) * round;
  const requests = inRounds(Math.max(2, Math.min(STREAM, Math.floor(MAX_TASKS / Math.max(1, perRequest)))));
  const window = Math.min(requests, inRounds(2 * sessionsOf(layout)));
  const many = run(requests + Math.max(2, window), Math.max(2, window));
  const throughput = paceOf(many.ends.map((task) => many.end[task]!), requests, round);
  const busy = devices.map((name) => one.busy[place.devices.findIndex((device) => device.name === name)]!);
  const working = latency * devices.length;
  return {
    forecast: {
      latency,
      throughput,
      memory: memoryOf(layout, book),
      bubble: layout.kind === 'pipeline' ? Math.max(0, 1 - busy.reduce((a, b) => a + b, 0) / working) : 0,
      efficiency: throughput / ((alone ?? throughput) * coresOf(layout, place)),
    },
    timeline: one.tasks.map((_, i) => ({ ...one.labels[i]!, from: one.start[i]!, to: one.end[i]! })).filter(({ from, to }) => to > from),
  };
}

/** Requests until each replica has had one, as they go round: what one of them does repeats itself after so many. */
function roundOf(layout: Layout): number {
  switch (layout.kind) {
    case 'device': case 'tensor': return 1;
    case 'data': return layout.replicas.map(roundOf).reduce(commonMultiple, layout.reduction === 'concat' ? layout.replicas.length : 1);
    case 'pipeline': return layout.stages.map((stage) => roundOf(stage.layout)).reduce(commonMultiple, 1);
    case 'tasks': return layout.parts.map((part) => roundOf(part.layout)).reduce(commonMultiple, 1);
  }
}

function commonMultiple(a: number, b: number): number {
  let [divisor, rest] = [a, b];
  while (rest > 0) [divisor, rest] = [rest, divisor % rest];
  return (a / divisor) * b;
}

/**
 * Requests per second, of every replica at its own pace: `openReplicas` sends the next request to the one that has the least to do, so that slow ones hold up nobody. Read between requests of the same
 * replica, since those of different ones do not end in the order in which they began.
 */
function paceOf(ends: readonly number[], requests: number, round: number): number {
  return ends.slice(-round).reduce((sum, end, i) => sum + requests / round / Math.max(SHORTEST, end - ends[ends.length - round + i - requests]!), 0);
}

/** Devices kept busy, those that a leaf with more threads than its own cores takes included. */
export function coresOf(layout: Layout, place: Topology): number {
  const taken = new Set<number>();
  const visit = (inner: Layout): void => {
    switch (inner.kind) {
      case 'device': return place.occupies(inner.device, inner.threads).forEach((index) => taken.add(index));
      case 'tensor': return inner.devices.forEach((device) => place.occupies(device, undefined).forEach((index) => taken.add(index)));
      case 'data': return inner.replicas.forEach(visit);
      case 'pipeline': return inner.stages.forEach((stage) => visit(stage.layout));
      case 'tasks': return inner.parts.forEach((part) => visit(part.layout));
    }
  };
  visit(layout);
  return taken.size;
}

function sessionsOf(layout: Layout): number {
  switch (layout.kind) {
    case 'device': case 'tensor': return 1;
    case 'data': return layout.replicas.reduce((sum, replica) => sum + sessionsOf(replica), 0);
    case 'pipeline': return layout.stages.reduce((sum, stage) => sum + sessionsOf(stage.layout), 0);
    case 'tasks': return layout.parts.reduce((sum, part) => sum + sessionsOf(part.layout), 0);
  }
}

/** Bytes of weights and of activations at their most, by device. */
export function memoryOf(layout: Layout, book: CostBook): Record<string, number> {
  const memory: Record<string, number> = {};
  const visit = (inner: Layout, part: Part, rows: number): void => {
    const take = (device: string, bytes: number): void => void (memory[device] = (memory[device] ?? 0) + Math.round(bytes));
    switch (inner.kind) {
      case 'device': return take(inner.device, book.weightBytes(part) + book.activationBytes(part, rows));
      case 'tensor': {
        const program = tensorProgram(book, part, inner);
        return inner.devices.forEach((device, shard) => take(device, program.weightBytes(shard) + book.activationBytes(part, rows)));
      }
      // Of requests that come together each goes whole to one replica.
      case 'data': return inner.replicas.forEach((replica) => visit(replica, part, rows));
      case 'pipeline': {
        const most = Math.max(...pieceRows(book, rows, inner.microBatches));
        return inner.stages.forEach((stage) => visit(stage.layout, stage, most));
      }
      case 'tasks': return inner.parts.forEach((each) => visit(each.layout, each, rows));
    }
  };
  visit(layout, book.whole, book.batch);
  return memory;
}
