/** Times runs of a decoder in the form for generation where they run, without the engine around them: what `generation-rows.ts` compares the engine with. */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { type Job, jobModule } from '@penjing/core';
import { weightFolder } from '../packages/runtime/src/engine/model-source.js';
import { sessionSettings } from '../packages/runtime/src/engine/settings.js';
import { formJob } from '../packages/runtime/src/generate/form-job.js';
import { CACHE_STEPS } from '../packages/runtime/src/generate/int8-cache.js';
import { CacheRows } from '../packages/runtime/src/worker/cache-rows.js';
import { SessionTable } from '../packages/runtime/src/worker/session-table.js';
import type { OrtApi } from '../packages/runtime/src/worker/tensors.js';
import { median } from './timed.js';

export interface FormRun {
  readonly file: string;
  readonly rows: number;
  /** Tokens that each row has read. */
  readonly context: number;
  readonly runs: number;
  readonly threads: number;
  readonly int8Cache?: boolean;
}

/** Median milliseconds of one ONNX Runtime run that appends a token to each row: feeds are made once, and nothing is drawn. */
export const formRunJob: Job<FormRun, number> = {
  module: jobModule(import.meta.url, './form-run-job'),
  name: 'formRunJob',
  async run({ file, rows, context, runs, threads, int8Cache }, task) {
    const made = await formJob.run({ file, ...(int8Cache && { int8Cache }) }, task);
    if (!made) throw new Error(`${file} has no form for generation`);
    const ort = createRequire(new URL('../packages/runtime/package.json', import.meta.url))('onnxruntime-node') as OrtApi;
    const sessions = new SessionTable(ort, { pass: (call) => call() });
    const settings = sessionSettings({ threads, sessionConfig: weightFolder(dirname(file)) }, { ...made.weights, byPath: true });
    const { handle } = await sessions.open({ kind: 'memory', bytes: made.graph.buffer, externalData: [] }, settings);
    if (made.form.steps !== undefined) sessions.hold(handle, { [CACHE_STEPS]: new ort.Tensor('float32', new Float32Array(made.form.steps).fill(0.02), [made.form.steps]) });
    const cache = new CacheRows(ort, made.form);
    for (let row = 0; row < rows; row++) cache.add(undefined, context + 1);
    cache.grow(0, rows, context);
    const { feeds, into } = cache.tensors(0, rows, 1);
    // pages that were never written are all one page, which is read from the nearest cache
    for (const { data } of Object.values(into)) (data as Float32Array).fill(1);
    const ints = (at: (row: number) => number, dims: readonly number[]): InstanceType<OrtApi['Tensor']> => new ort.Tensor('int64', BigInt64Array.from({ length: rows }, (_, row) => BigInt(at(row))), dims);
    Object.assign(feeds, { input_ids: ints((row) => row + 8, [rows, 1]), logit_rows: ints((row) => row, [rows]), ...(made.form.positions && { position_ids: ints(() => context, [rows, 1]) }) });
    const { vocabSize } = made.form.logits;
    const outputs = { ...into, logits: new ort.Tensor('float32', new Float32Array(rows * vocabSize), [rows, vocabSize]) };
    const times: number[] = [];
    for (let i = 0; i < runs; i++) {
      const started = performance.now();
      await sessions.runInto(handle, feeds, outputs);
      // the first ones warm up
      if (i >= 4) times.push(performance.now() - started);
    }
    await sessions.closeAll();
    return median(times);
  },
};
