/** Measured times of one engine with the very model, which correct what is known of the device by kinds of work. */
import type { Topology } from '../simulate/topology.js';
import type { CostBook } from './cost-book.js';
import { type DeviceSpeed, interpolate } from './roofline.js';

/** Of requests to one engine from another thread. */
export interface ModelTime {
  readonly threads: number;
  /** Of the batch. */
  readonly rows: number;
  /** There and back, of one request alone. */
  readonly seconds: number;
  /** Of each request where the next one always waits. */
  readonly streamed?: number;
  /** The same while every device of the host runs one such engine. */
  readonly together?: number;
}

/** At least this share of a round trip is the engine's. */
const LEAST_SHARE = 0.2;

/**
 * A book whose seconds are those measured, on any device: parts of the model, other numbers of rows and other devices are as much faster or slower than was
 * forecast as the whole model is on the device that was measured.
 */
export function timedBook(book: CostBook, times: readonly ModelTime[], place: Topology, device: string): CostBook {
  const { latency, bandwidth } = place.hop(device, device);
  const copy = place.caller(device)?.speed.copy ?? [[1, bandwidth] as const];
  const inEngine = (seconds: number, rows: number): number => {
    const bytes = book.bytes(book.whole.inputs, rows);
    const trip = 2 * latency + bytes / interpolate(copy, bytes) + book.bytes(book.whole.outputs, rows) / bandwidth;
    return Math.max(LEAST_SHARE * seconds, seconds - trip);
  };
  const factors = times.map(({ threads, rows, seconds, streamed, together }) => {
    const { alone, crowded } = book.seconds(book.whole, rows, place.speed(device, threads));
    const first = inEngine(seconds, rows) / alone;
    const many = streamed === undefined ? first : streamed / alone;
    return { threads, rows, alone: first, streamed: many, crowded: together === undefined ? many : together / crowded };
  });
  const factor = (rows: number, speed: DeviceSpeed): (typeof factors)[number] => {
    const same = factors.filter(({ threads }) => threads === speed.alone.threads);
    const known = same.length > 0 ? same : factors.filter(({ threads }) => threads === factors[0]!.threads);
    const distance = (other: number): number => Math.abs(Math.log(Math.max(1, other) / Math.max(1, rows)));
    return known.reduce((nearest, other) => (distance(other.rows) < distance(nearest.rows) ? other : nearest));
  };
  if (factors.length === 0) return book;
  return {
    ...book,
    correct(seconds, rows, speed, many) {
      const { alone, streamed, crowded } = factor(rows, speed);
      const first = seconds.alone * (many ? streamed : alone);
      return { alone: first, crowded: Math.max(first, seconds.crowded * crowded) };
    },
  };
}
