/** What one engine takes for the very model that a plan is made for: alone, beside others, and with all threads. */
import type { Engine, Executor, Model, TaskOptions } from '@penjing/core';
import type { CostBook, DeviceList, ModelTime, Sizes } from '@penjing/parallel';
import { loadRuntime } from '../load-runtime.js';
import { layoutEngine, type ModelFile } from './layout-engine.js';
import { mean, undisturbedTogether } from './undisturbed.js';

export interface MeasureModelOptions extends Omit<TaskOptions, 'seed'> {
  readonly sizes?: Sizes | undefined;
  /** Those of one machine: this one. */
  readonly devices: DeviceList['devices'];
  /** Seconds for each time (0.1). */
  readonly seconds?: number;
  /** Where the model lies as it is: engines then share its weights. */
  readonly file?: ModelFile;
  /** ONNX Runtime when absent. */
  readonly engine?: Engine | undefined;
}

/** The whole batch, and pieces that pipelines and replicas cut it into, by halves. */
const PIECES = 4;

/**
 * The model runs on random inputs: on an engine with the cores of a device, on one such engine per device, and on one with the cores of all. As many engines are open at
 * a time as the memory of the devices holds; what does not fit is left out. Throws `E_RUNTIME_MISSING`, and what loading it throws.
 */
export async function measureModel(model: Model, { sizes, devices, seconds = 0.1, file, engine, signal, onProgress }: MeasureModelOptions): Promise<ModelTime[]> {
  const { costBook } = await import('@penjing/parallel');
  const { randomFeeds } = await loadRuntime();
  const running = engine ?? (await layoutEngine(model, { kind: 'device', device: '' }, { file }));
  const book = costBook(model, sizes ? { sizes } : {});
  const { batch, batchSymbol, sizes: complete } = book;
  const { each, all } = engineThreads(devices, book);
  const [threads] = each;
  const pieces = piecesOf(book);
  const total = (threads === undefined ? 0 : pieces.length * 2) + (each.length > 1 ? pieces.length : 0) + (all === undefined ? 0 : 2);
  let done = 0;
  const runOf = (executor: Executor, rows: number): (() => Promise<unknown>) => {
    const feeds = randomFeeds(executor.inputs, { dims: batchSymbol === undefined ? complete : { ...complete, [batchSymbol]: rows } });
    return () => executor.run(feeds, signal ? { signal } : {});
  };
  const measured = async (way: typeof inTurn, executors: readonly Executor[], rows: number): Promise<number> => {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'measure', done: done++, total, unit: 'times', item: `${rows} rows` });
    const taken = await way(executors.map((executor) => runOf(executor, rows)), { seconds, signal });
    // Where devices differ, only those that are like the first one say what it takes beside the others.
    return mean(taken.filter((_, i) => executors.length === 1 || each[i] === threads));
  };
  const opened = <T>(counts: readonly number[], body: (executors: readonly Executor[]) => Promise<T>): Promise<T> => withEngines(running, model, counts, signal, body);

  const times: ModelTime[] = [];
  if (threads !== undefined) await opened([threads], async (first) => {
    for (const rows of pieces) times.push({ threads, rows, seconds: await measured(inTurn, first, rows), streamed: await measured(inStream, first, rows) });
  });
  if (each.length > 1) await opened(each, async (mates) => {
    for (const [i, rows] of pieces.entries()) times[i] = { ...times[i]!, together: await measured(inStream, mates, rows) };
  });
  if (all !== undefined) await opened([all], async (one) => {
    times.push({ threads: all, rows: batch, seconds: await measured(inTurn, one, batch), streamed: await measured(inStream, one, batch) });
  });
  return times;
}

/**
 * Threads of the engines that run side by side, the fastest device first as a plan takes them, and of the one that has the cores of all. While one engine is open it may
 * have the memory of all devices; side by side each must do with its own, or only the first one is measured.
 */
function engineThreads(devices: DeviceList['devices'], book: CostBook): { readonly each: readonly number[]; readonly all: number | undefined } {
  const needed = book.weightBytes(book.whole) + book.activationBytes(book.whole, book.batch);
  if (needed > devices.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)) return { each: [], all: undefined };
  const each = [...devices].sort((a, b) => b.flops - a.flops).map(({ cores = 1 }) => cores);
  const fits = devices.every(({ memoryBytes }) => memoryBytes >= needed);
  return { each: fits ? each : each.slice(0, 1), all: each.length > 1 ? each.reduce((sum, cores) => sum + cores, 0) : undefined };
}

function piecesOf({ batch, batchSymbol, smallestPiece }: CostBook): number[] {
  const halves = Array.from({ length: batchSymbol === undefined ? 1 : PIECES }, (_, i) => Math.ceil(batch / 2 ** i));
  return halves.filter((rows, i) => i === 0 || (rows >= smallestPiece && rows < halves[i - 1]!));
}

type Timing = Parameters<typeof undisturbedTogether>[1];

/** One request at a time to each engine. */
function inTurn(runs: readonly (() => Promise<unknown>)[], timing: Timing): Promise<number[]> {
  return undisturbedTogether(runs, timing);
}

/** One request runs on each engine, and one waits. All have ended when this returns or throws. */
async function inStream(runs: readonly (() => Promise<unknown>)[], timing: Timing): Promise<number[]> {
  const start = (run: () => Promise<unknown>): Promise<unknown> => {
    const started = run();
    // Nobody awaits the one that waits until the one before it has ended, and a signal ends both at once.
    started.catch(() => {});
    return started;
  };
  const waiting = runs.map(start);
  try {
    const taken = await undisturbedTogether(runs.map((run, i) => () => {
      const oldest = waiting[i]!;
      waiting[i] = start(run);
      return oldest;
    }), timing);
    await Promise.all(waiting);
    return taken;
  } finally {
    await Promise.allSettled(waiting);
  }
}

/** Open while the body runs. */
async function withEngines<T>(engine: Engine, model: Model, threads: readonly number[], signal: AbortSignal | undefined, body: (executors: readonly Executor[]) => Promise<T>): Promise<T> {
  const executors: Executor[] = [];
  try {
    for (const count of threads) executors.push(await engine.load(model, { threads: count, ...(signal && { signal }) }));
    return await body(executors);
  } finally {
    await Promise.all(executors.map((executor) => executor[Symbol.asyncDispose]()));
  }
}
