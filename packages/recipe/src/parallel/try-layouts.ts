/** Layouts of a plan that run: each in turn, round by round, as long as time is left. */
import { freemem, tmpdir } from 'node:os';
import { type Engine, type Executor, isPenjingError, type JobHost, type Model, PenjingError, type TaskOptions } from '@penjing/core';
import { ioError } from '@penjing/graph-io/node';
import type { DeviceList, Goal, Measured, Planned, Sizes, Trial } from '@penjing/parallel';
import { loadRuntime } from '../load-runtime.js';
import { layoutEngine, type ModelFile } from './layout-engine.js';
import { trialFeeds } from './trial-feeds.js';
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
  /** No turn begins after so many seconds (60) but the first one; a layout that had none is not told of. */
  readonly budget?: number;
  /** What else is measured, so that it has the same hours of the machine: it has a turn before every round. */
  readonly beforeRound?: () => Promise<void>;
  /** Where the model lies as it is: engines then share its weights, as those of a plan that is run. */
  readonly file?: ModelFile;
  /** Bytes that may be open at a time, whatever the devices have; most of what this machine has free when absent. */
  readonly memory?: number;
  /** ONNX Runtime, as `run --plan` opens it for each layout, when absent. */
  readonly engine?: Engine | undefined;
  readonly jobs?: (options: { readonly parallel: number; readonly threads: number }) => JobHost & AsyncDisposable;
}

const MIN_REQUESTS = 3;
/** Of the memory that is free; the rest is for who else runs, and for what forecasts forget. */
const MEMORY_SHARE = 0.8;

/**
 * Runs layouts on random inputs. All are open at the same time where the memory of the devices and of this machine holds them all, else one after the other, anew in every round. A layout that cannot be opened or run is told as `failed`,
 * with the reason. Throws `E_OPTION` for a goal that running says nothing of, `E_LIMIT`, `E_INPUT` and `E_UNSUPPORTED` for inputs that cannot be made up, `E_RUNTIME_MISSING`, and the reason of a signal; nothing is open then.
 */
export async function tryLayouts(model: Model, { candidates, goal, sizes, devices, rounds = 5, seconds = 0.2, budget = 60, beforeRound, file, memory = freeMemory(), engine, jobs, signal, onProgress }: TryLayoutsOptions): Promise<Trial[]> {
  const gain = gains[goal];
  if (!gain) throw new PenjingError('E_OPTION', `what runs says nothing of ${goal}`, { hint: 'Try layouts for latency or throughput.' });
  const { openLayout } = await import('@penjing/parallel/node');
  const { ortJobs } = await loadRuntime();
  const feeds = await trialFeeds(model, sizes);
  const together = allFit(candidates, devices, memory);
  const opened = new Map<string, Executor>();
  const taken = new Map<string, number[]>(candidates.map(({ name }) => [name, []]));
  const failed = new Map<string, string>();
  let until = performance.now() + 1000 * budget;
  // What is written once for all of them takes none of their time.
  const lying = typeof file === 'function' ? once(async () => {
    const from = performance.now();
    try {
      return await file();
    } finally {
      until += performance.now() - from;
    }
  }) : file;
  const turn = async ({ name, layout }: Planned): Promise<void> => {
    const executor = opened.get(name) ?? (await openLayout(model, layout, { engine: engine ?? (await layoutEngine(model, layout, { file: lying })), jobs: jobs ?? ortJobs, devices, ...(signal && { signal }) }));
    // Nothing may come between: what is not listed is not closed.
    opened.set(name, executor);
    const run = (): Promise<unknown> => executor.run(feeds, signal ? { signal } : {});
    taken.get(name)!.push(await inTurn(run, { seconds, gain, underWay: goal === 'latency' ? 1 : 2 * devices.length + 2, signal }));
    if (!together) await close(opened, name);
  };
  let done = 0;
  try {
    for (let round = 0; round < rounds && (done === 0 || performance.now() < until); round++) {
      await beforeRound?.();
      for (const candidate of candidates.filter(({ name }) => !failed.has(name))) {
        signal?.throwIfAborted();
        if (done > 0 && performance.now() >= until) break;
        onProgress?.({ phase: 'try', done, total: rounds * candidates.length, unit: 'turns', item: candidate.name });
        done++;
        try {
          await turn(candidate);
        } catch (error) {
          signal?.throwIfAborted();
          const told = ofDisk(error);
          if (!isPenjingError(told)) throw error;
          failed.set(candidate.name, told.message);
          await close(opened, candidate.name);
        }
      }
    }
  } finally {
    await Promise.all([...opened.keys()].map((name) => close(opened, name)));
  }
  return candidates.flatMap(({ name }): Trial[] => {
    const [reason, turns] = [failed.get(name), taken.get(name)!];
    if (reason !== undefined) return [{ name, failed: reason }];
    return turns.length > 0 ? [{ name, measured: asMeasured(goal, median(turns)) }] : [];
  });
}

/** Engines and shards keep weights in temporary files of their own: a disk without room for them is a failure of the layout that needs them. */
function ofDisk(error: unknown): unknown {
  const path = error instanceof Error ? (error as NodeJS.ErrnoException).path : undefined;
  return ioError(error, path ?? tmpdir());
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

async function close(opened: Map<string, Executor>, name: string): Promise<void> {
  const executor = opened.get(name);
  opened.delete(name);
  await executor?.[Symbol.asyncDispose]();
}

/** Whether each device holds its parts of all of them at the same time, as forecast, and this machine all parts. */
function allFit(candidates: readonly Planned[], devices: DeviceList['devices'], memory: number): boolean {
  const neededOn = (device: string): number => candidates.reduce((sum, { forecast }) => sum + (forecast.memory[device] ?? 0), 0);
  return devices.every(({ name, memoryBytes }) => neededOn(name) <= memoryBytes) && devices.reduce((sum, { name }) => sum + neededOn(name), 0) <= memory;
}

/** Limits of a container included, where Node tells them. */
const freeMemory = (): number => MEMORY_SHARE * Math.min(freemem(), process.availableMemory?.() ?? Infinity);

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
