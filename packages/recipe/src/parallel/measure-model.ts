/** What one engine takes for the very model that a plan is made for: alone, beside others, and with all threads. */
import type { Executor, Model, TaskOptions } from '@penjing/core';
import type { DeviceList, ModelTime, Sizes } from '@penjing/parallel';
import { loadRuntime } from '../load-runtime.js';
import { undisturbed } from './undisturbed.js';

export interface MeasureModelOptions extends Omit<TaskOptions, 'seed'> {
  readonly sizes?: Sizes | undefined;
  /** Those of one machine: this one. */
  readonly devices: DeviceList['devices'];
  /** Seconds for each time (0.1). */
  readonly seconds?: number;
}

/** The whole batch, and pieces that pipelines and replicas cut it into, by halves. */
const PIECES = 4;

/** The model runs on random inputs. Throws `E_RUNTIME_MISSING`, and what loading it throws. */
export async function measureModel(model: Model, { sizes, devices, seconds = 0.1, signal, onProgress }: MeasureModelOptions): Promise<ModelTime[]> {
  const { costBook } = await import('@penjing/parallel');
  const { ortEngine, randomFeeds } = await loadRuntime();
  const { batch, batchSymbol, smallestPiece, sizes: complete } = costBook(model, sizes ? { sizes } : {});
  const cores = devices.length;
  const pieces = Array.from({ length: batchSymbol === undefined ? 1 : PIECES }, (_, i) => Math.ceil(batch / 2 ** i)).filter((rows, i, all) => i === 0 || (rows >= smallestPiece && rows < all[i - 1]!));
  let done = 0;
  const runOf = (executor: Executor, rows: number): (() => Promise<unknown>) => {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'measure', done: done++, total: pieces.length * (cores > 1 ? 2 + cores : 2) + 2, unit: 'times', item: `${rows} rows` });
    const feeds = randomFeeds(executor.inputs, { dims: batchSymbol === undefined ? complete : { ...complete, [batchSymbol]: rows } });
    return () => executor.run(feeds, signal ? { signal } : {});
  };
  const timed = (executor: Executor, rows: number): Promise<number> => undisturbed(runOf(executor, rows), { seconds, signal });
  /** One request runs, and one waits. */
  const streamed = async (executor: Executor, rows: number): Promise<number> => {
    const run = runOf(executor, rows);
    let before = run();
    const taken = await undisturbed(() => {
      const [oldest, next] = [before, run()];
      before = next;
      return oldest;
    }, { seconds, signal });
    await before;
    return taken;
  };
  const engine = ortEngine();
  const opened: Executor[] = [];
  const open = async (threads: number): Promise<Executor> => {
    const executor = await engine.load(model, { threads, ...(signal && { signal }) });
    opened.push(executor);
    return executor;
  };
  const times: ModelTime[] = [];
  try {
    const first = await open(1);
    const mates = [first];
    for (let i = 1; i < cores; i++) mates.push(await open(1));
    for (const rows of pieces) {
      const alone = await timed(first, rows);
      const stream = await streamed(first, rows);
      const each = cores > 1 ? await Promise.all(mates.map((mate) => streamed(mate, rows))) : [];
      times.push({ threads: 1, rows, seconds: alone, streamed: stream, ...(each.length > 0 && { together: each.reduce((sum, one) => sum + one, 0) / each.length }) });
    }
    if (cores > 1) {
      const all = await open(cores);
      times.push({ threads: cores, rows: batch, seconds: await timed(all, batch), streamed: await streamed(all, batch) });
    }
    return times;
  } finally {
    await Promise.all(opened.map((executor) => executor[Symbol.asyncDispose]()));
  }
}
