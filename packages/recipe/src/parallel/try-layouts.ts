/** Layouts of a plan that run: each in turn, round by round, as long as time is left. */
import { type Engine, type Executor, type Feeds, isPenjingError, type JobHost, type Model, PenjingError, type TaskOptions } from '@penjing/core';
import type { DeviceList, Goal, Measured, Planned, Sizes, Trial } from '@penjing/parallel';
import { loadRuntime } from '../load-runtime.js';
import { leastDisturbed, median } from './undisturbed.js';

export interface TryLayoutsOptions extends Omit<TaskOptions, 'seed'> {
  readonly candidates: readonly Planned[];
  readonly goal: Goal;
  /** Of a request: all symbols (`Plan.model.sizes`). */
  readonly sizes: Sizes;
  /** Those of one machine: this one. */
  readonly devices: DeviceList['devices'];
  /** Each layout has a turn in every round (5), so that none has a better hour of the machine than another; the median counts. */
  readonly rounds?: number;
  /** Seconds of a turn (0.2); at least a few requests. */
  readonly seconds?: number;
  /** No turn begins after so many seconds (60) but those of the first round. */
  readonly budget?: number;
  /** ONNX Runtime when absent. */
  readonly engine?: Engine | undefined;
  readonly jobs?: (options: { readonly parallel: number; readonly threads: number }) => JobHost & AsyncDisposable;
}

const MIN_REQUESTS = 3;

/**
 * Runs layouts on random inputs. All are open at the same time where the memory of the devices holds them all, else one after the other, anew in every round. A layout that cannot be opened or run is told as `failed`,
 * with the reason. Throws `E_OPTION` for a goal that running says nothing of, `E_RUNTIME_MISSING`, and the reason of a signal; nothing is open then.
 */
export async function tryLayouts(model: Model, { candidates, goal, sizes, devices, rounds = 5, seconds = 0.2, budget = 60, engine, jobs, signal, onProgress }: TryLayoutsOptions): Promise<Trial[]> {
  const gain = gains[goal];
  if (!gain) throw new PenjingError('E_OPTION', `what runs says nothing of ${goal}`, { hint: 'Try layouts for latency or throughput.' });
  const { openLayout } = await import('@penjing/parallel/node');
  const { ortEngine, ortJobs, randomFeeds } = await loadRuntime();
  const together = allFit(candidates, devices);
  const opened = new Map<string, Opened>();
  const taken = new Map<string, number[]>(candidates.map(({ name }) => [name, []]));
  const failed = new Map<string, string>();
  const turn = async ({ name, layout }: Planned): Promise<void> => {
    const executor = opened.get(name)?.executor ?? (await openLayout(model, layout, { engine: engine ?? ortEngine(), jobs: jobs ?? ortJobs, devices, ...(signal && { signal }) }));
    const feeds = opened.get(name)?.feeds ?? randomFeeds(executor.inputs, { dims: sizes });
    opened.set(name, { executor, feeds });
    const run = (): Promise<unknown> => executor.run(feeds, signal ? { signal } : {});
    taken.get(name)!.push(await inTurn(run, { seconds, gain, underWay: goal === 'latency' ? 1 : 2 * devices.length + 2, signal }));
    if (!together) await close(opened, name);
  };
  const until = performance.now() + 1000 * budget;
  let done = 0;
  try {
    for (let round = 0; round < rounds; round++) {
      for (const candidate of candidates.filter(({ name }) => !failed.has(name))) {
        signal?.throwIfAborted();
        if (round > 0 && performance.now() >= until) break;
        onProgress?.({ phase: 'try', done: done++, total: rounds * candidates.length, unit: 'turns', item: candidate.name });
        try {
          await turn(candidate);
        } catch (error) {
          signal?.throwIfAborted();
          if (!isPenjingError(error)) throw error;
          failed.set(candidate.name, error.message);
          await close(opened, candidate.name);
        }
      }
    }
  } finally {
    await Promise.all([...opened.keys()].map((name) => close(opened, name)));
  }
  return candidates.map(({ name }): Trial => {
    const reason = failed.get(name);
    return reason === undefined ? { name, measured: asMeasured(goal, median(taken.get(name)!)) } : { name, failed: reason };
  });
}

interface Opened {
  readonly executor: Executor;
  readonly feeds: Feeds;
}

async function close(opened: Map<string, Opened>, name: string): Promise<void> {
  const executor = opened.get(name)?.executor;
  opened.delete(name);
  await executor?.[Symbol.asyncDispose]();
}

/** Whether the devices hold all of them at the same time, as forecast. */
function allFit(candidates: readonly Planned[], devices: DeviceList['devices']): boolean {
  return devices.every(({ name, memoryBytes }) => candidates.reduce((sum, { forecast }) => sum + (forecast.memory[name] ?? 0), 0) <= memoryBytes);
}

const asMeasured = (goal: Goal, value: number): Measured => (goal === 'latency' ? { latency: value } : { throughput: value });

/** What counts of the seconds of each request, and of all of them. */
type Gain = (times: readonly number[], elapsed: number) => number;

const gains: Readonly<Record<Goal, Gain | undefined>> = {
  latency: (times) => median(times),
  throughput: (times, elapsed) => times.length / elapsed,
  memory: undefined,
};

interface Turn {
  readonly seconds: number;
  readonly gain: Gain;
  readonly underWay: number;
  readonly signal: AbortSignal | undefined;
}

/** With always so many requests under way, the first of which do not count. */
async function inTurn(run: () => Promise<unknown>, { seconds, gain, underWay, signal }: Turn): Promise<number> {
  const clients = async (client: () => Promise<void>): Promise<void> => {
    const failure = (await Promise.allSettled(Array.from({ length: underWay }, client))).find((result) => result.status === 'rejected');
    if (failure) throw failure.reason;
  };
  await clients(async () => void (await run()));
  return leastDisturbed(async () => {
    const times: number[] = [];
    let failed = false;
    const from = performance.now();
    let last = from;
    await clients(async () => {
      try {
        do {
          signal?.throwIfAborted();
          const started = performance.now();
          await run();
          last = performance.now();
          times.push((last - started) / 1000);
        } while (!failed && (last - from < 1000 * seconds || times.length < MIN_REQUESTS));
      } catch (error) {
        failed = true;
        throw error;
      }
    });
    return gain(times, (last - from) / 1000);
  });
}
