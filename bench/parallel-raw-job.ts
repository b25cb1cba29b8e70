/** Runs a session some times inside its own thread, from an agreed moment on: what two workers do with nothing between them. */
import { type Job, jobModule, type PreparedModel, type DType, DenseTensor } from '@penjing/core';

export interface RawInput {
  readonly model: PreparedModel;
  readonly runs: number;
  readonly feed: { readonly name: string; readonly dtype: DType; readonly shape: readonly number[]; readonly bytes: Uint8Array };
  /** Milliseconds since 1970; all workers begin then. */
  readonly at: number;
}

/** Milliseconds from the agreed moment to the end of the last run. */
export const rawJob: Job<RawInput, number> = {
  module: jobModule(import.meta.url, './parallel-raw-job'),
  name: 'rawJob',
  async run({ model, runs, feed, at }, { load }) {
    await using executor = await load(model);
    const feeds = { [feed.name]: new DenseTensor(feed.dtype, feed.shape, feed.bytes) };
    await executor.run(feeds);
    const now = (): number => performance.timeOrigin + performance.now();
    if (now() > at) throw new Error('a worker was not ready in time: give --ready more milliseconds');
    await new Promise((resolve) => setTimeout(resolve, at - now() - 5));
    while (now() < at);
    for (let i = 0; i < runs; i++) await executor.run(feeds);
    return now() - at;
  },
};
