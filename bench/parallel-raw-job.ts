/** Runs a session some times inside its own thread, together with others: what workers do with nothing between them. */
import { type Job, jobModule, type PreparedModel, type DType, DenseTensor } from '@penjing/core';

export interface RawInput {
  readonly model: PreparedModel;
  readonly runs: number;
  readonly feed: { readonly name: string; readonly dtype: DType; readonly shape: readonly number[]; readonly bytes: Uint8Array };
  /** One number: how many workers are still to be ready. All begin when it is 0. */
  readonly waiting: Int32Array<SharedArrayBuffer>;
}

/** Milliseconds of all runs. */
export const rawJob: Job<RawInput, number> = {
  module: jobModule(import.meta.url, './parallel-raw-job'),
  name: 'rawJob',
  async run({ model, runs, feed, waiting }, { load }) {
    await using executor = await load(model);
    const feeds = { [feed.name]: new DenseTensor(feed.dtype, feed.shape, feed.bytes) };
    await executor.run(feeds);
    if (Atomics.sub(waiting, 0, 1) === 1) Atomics.notify(waiting, 0);
    for (let left = Atomics.load(waiting, 0); left > 0; left = Atomics.load(waiting, 0)) Atomics.wait(waiting, 0, left, 1000);
    const started = performance.now();
    for (let i = 0; i < runs; i++) await executor.run(feeds);
    return performance.now() - started;
  },
};
