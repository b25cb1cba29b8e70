/** Times the leading singular triples of a matrix, and checks them. `npx tsx --conditions=@penjing/source bench/svd.ts ROWS COLS RANK [gram|subspace]` */
import { createRng, jobModule, type Job, type JobContext } from '@penjing/core';
import { matrixProducts, svd } from '@penjing/core/linalg';
import { ortJobs } from '@penjing/runtime';

interface Timed {
  readonly seconds: number;
  readonly energy: number;
  readonly captured: number;
  readonly first: number;
  readonly last: number;
}

interface Input {
  readonly rows: number;
  readonly cols: number;
  readonly rank: number;
  readonly method: 'gram' | 'subspace' | undefined;
}

export const svdJob: Job<Input, Timed> = { module: jobModule(import.meta.url, './svd'), name: 'svdJob', run };

/** Normal entries times a decaying scale per row and column: a spectrum without a gap, as weights have it. */
async function run({ rows, cols, rank, method }: Input, context: JobContext): Promise<Timed> {
  const rng = createRng(1);
  const data = Float32Array.from({ length: rows * cols }, (_, i) => rng.normal() * (1 + Math.floor(i / cols) / 100) ** -0.5 * (1 + (i % cols) / 100) ** -0.5);
  await using products = matrixProducts(context.engine);
  await products.multiply({ data, rows: 8, cols: 8 }, { data, rows: 8, cols: 8 });
  const started = performance.now();
  const { values, energy } = await svd({ data, rows, cols }, { ...context, products, rank, ...(method && { method }) });
  return { seconds: (performance.now() - started) / 1000, energy, captured: values.reduce((sum, value) => sum + value * value, 0), first: values[0]!, last: values.at(-1)! };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [rows = 4096, cols = 4096, rank = 1024] = process.argv.slice(2, 5).map(Number);
  await using jobs = ortJobs();
  const { seconds, energy, captured, first, last } = await jobs.run(svdJob, { rows, cols, rank, method: process.argv[5] as 'gram' | undefined });
  console.log(`${rows} × ${cols}, rank ${rank}: ${seconds.toFixed(2)} s, σ ${first.toFixed(3)} … ${last.toFixed(4)}, left over ${(1 - captured / energy).toFixed(6)}`);
}
