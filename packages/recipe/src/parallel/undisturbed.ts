/** Times of something that is run over and over, taken while other programs leave the machine alone. */
import { cpus } from 'node:os';

export interface UndisturbedOptions {
  /** Of one slice; what is run may take longer. */
  readonly seconds: number;
  readonly signal?: AbortSignal | undefined;
}

/** Cores that others may take meanwhile: the clocks of the system tick every 10 ms, so that less cannot be told in a short slice. */
const TOLERATED = 0.25;
/** Slices that are tried before the least disturbed one counts. */
const TRIES = 3;
const MIN_RUNS = 5;

/** Median of the seconds of a run. A slice beside others' work is taken again; where they do not stop, the quietest slice counts. */
export async function undisturbed(run: () => Promise<unknown>, { seconds, signal }: UndisturbedOptions): Promise<number> {
  for (let i = 0; i < 2; i++) await run();
  let best = { foreign: Infinity, seconds: 0 };
  for (let tries = 0; tries < TRIES && best.foreign > TOLERATED; tries++) {
    const times: number[] = [];
    const foreign = foreignCores();
    const end = performance.now() + 1000 * seconds;
    while (times.length < MIN_RUNS || performance.now() < end) {
      signal?.throwIfAborted();
      const started = performance.now();
      await run();
      times.push(performance.now() - started);
    }
    const slice = { foreign: foreign(), seconds: median(times) / 1000 };
    if (slice.foreign < best.foreign) best = slice;
  }
  return best.seconds;
}

/** Cores that other programs kept busy since; 0 where the system does not tell. */
export function foreignCores(): () => number {
  const before = sample();
  return () => {
    const now = sample();
    return Math.max(0, (now.all - before.all - (now.own - before.own)) / Math.max(1e-3, now.at - before.at));
  };
}

/** Seconds of processors, of all programs and of this one with all its threads. */
function sample(): { readonly at: number; readonly all: number; readonly own: number } {
  const { user, system } = process.cpuUsage();
  const all = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) / 1000;
  return { at: performance.now() / 1000, all, own: (user + system) / 1e6 };
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
