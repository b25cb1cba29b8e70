/** Times one graph where it runs, without a thread between: what `generation-rows.ts` compares the engine with. */
import { DenseTensor, dtypes, type DType, type Job, jobModule, type PreparedModel } from '@penjing/core';
import { median } from './timed.js';

export interface RunInput {
  readonly model: PreparedModel;
  /** Inputs by name; integers count up from 0, modulo `below`. */
  readonly feeds: Readonly<Record<string, { readonly dtype: DType; readonly shape: readonly number[] }>>;
  readonly below: number;
  readonly runs: number;
}

/** Median milliseconds of a run. */
export const generationRunJob: Job<RunInput, number> = {
  module: jobModule(import.meta.url, './generation-run-job'),
  name: 'generationRunJob',
  async run({ model, feeds: wanted, below, runs }, { load }) {
    await using executor = await load(model);
    const feeds = Object.fromEntries(Object.entries(wanted).map(([name, { dtype, shape }]) => {
      const count = shape.reduce((product, size) => product * size, 1);
      const data = dtypes[dtype].kind === 'float' ? Float32Array.from({ length: count }, (_, i) => Math.sin(i)) : BigInt64Array.from({ length: count }, (_, i) => BigInt(i % below));
      return [name, DenseTensor.of(dtype, shape, data)];
    }));
    const times: number[] = [];
    for (let i = 0; i < runs; i++) {
      const started = performance.now();
      await executor.run(feeds);
      // the first ones warm up
      if (i >= 4) times.push(performance.now() - started);
    }
    return median(times);
  },
};
