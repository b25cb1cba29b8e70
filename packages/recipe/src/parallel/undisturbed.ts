/** Times of something that is run over and over, taken while other programs leave the machine alone. */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

export interface UndisturbedOptions {
  /** Of one slice; what is run may take longer. */
  readonly seconds: number;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds of a clock, and a sample that tells the cores that others kept busy since; of this machine when absent. */
  readonly now?: () => number;
  readonly foreign?: () => () => number;
}

type Run = () => Promise<unknown>;

/** Cores that others may take meanwhile: the clocks of the system tick every 10 ms, so that less cannot be told in a short slice. */
const TOLERATED = 0.25;
/** Slices that are tried before the least disturbed one counts. */
const TRIES = 3;
const MIN_RUNS = 5;

/** Median of the seconds of a run. A slice beside others' work is taken again; where they do not stop, the quietest slice counts. */
export async function undisturbed(run: Run, options: UndisturbedOptions): Promise<number> {
  return (await undisturbedTogether([run], options))[0]!;
}

/**
 * The same of several that run side by side, each over and over until the same end: none has the cores of one that is done already, and a slice is kept
 * or taken again for all. Nothing runs any more when it throws.
 */
export async function undisturbedTogether(runs: readonly Run[], { seconds, signal, now = () => performance.now(), foreign = foreignCores }: UndisturbedOptions): Promise<number[]> {
  await settled(runs.map(async (run) => {
    for (let i = 0; i < 2; i++) await run();
  }));
  return leastDisturbed(() => slice(runs, { seconds, signal, now }), foreign);
}

/** What `take` gives while others leave the machine alone, or of a few times the quietest. */
export async function leastDisturbed<T>(take: () => Promise<T>, foreign = foreignCores): Promise<T> {
  let best: { readonly foreign: number; readonly value: T } | undefined;
  for (let tries = 0; tries < TRIES && (best === undefined || best.foreign > TOLERATED); tries++) {
    const since = foreign();
    const value = await take();
    const busy = since();
    if (best === undefined || busy < best.foreign) best = { foreign: busy, value };
  }
  return best!.value;
}

/** Median seconds of each. The slice goes on for all until the slowest has enough runs. */
async function slice(runs: readonly Run[], { seconds, signal, now }: { readonly seconds: number; readonly signal: AbortSignal | undefined; readonly now: () => number }): Promise<number[]> {
  const times = runs.map((): number[] => []);
  const end = now() + 1000 * seconds;
  let failed = false;
  const goesOn = (): boolean => !failed && (now() < end || times.some((each) => each.length < MIN_RUNS));
  await settled(runs.map(async (run, i) => {
    try {
      while (goesOn()) {
        signal?.throwIfAborted();
        const started = now();
        await run();
        times[i]!.push(now() - started);
      }
    } catch (error) {
      failed = true;
      throw error;
    }
  }));
  return times.map((each) => median(each) / 1000);
}

/** Waits for all of them, whatever becomes of one; throws the first error. */
async function settled(all: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(all)).find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

/** Cores that other programs, and other guests of the host, kept busy since; 0 where the system does not tell. */
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
  return { at: performance.now() / 1000, all: takenByHost() + cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) / 1000, own: (user + system) / 1e6 };
}

const TICKS_PER_SECOND = 100;

/** Seconds in which this machine, a guest of another one, was ready and not let run: Linux tells (`steal`), Node does not. */
function takenByHost(): number {
  try {
    const [all] = readFileSync('/proc/stat', 'utf8').split('\n');
    return Number(all!.trim().split(/\s+/)[8] ?? 0) / TICKS_PER_SECOND;
  } catch {
    return 0;
  }
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
