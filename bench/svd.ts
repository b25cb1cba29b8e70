/**
 * Leading singular triples of a matrix, timed, beside NumPy's SVD on the same matrix (NumPy knows the whole one only):
 * `npx tsx --conditions=@penjing/source bench/svd.ts --python .venv/bin/python [--sizes 4096x4096] [--ranks 4096,1024] [--rounds 3] [--method gram|subspace] --out bench/results/svd.json`
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createRng, DenseTensor, jobModule, type Job, type JobContext, type TensorReference } from '@penjing/core';
import { matrixProducts, svd } from '@penjing/core/linalg';
import { ortJobs } from '@penjing/runtime';
import { median } from './timed.js';

interface Found {
  readonly left: number;
  readonly first: number;
  readonly last: number;
}

interface Input {
  readonly matrix: TensorReference;
  readonly rank: number;
  readonly method: 'gram' | 'subspace' | undefined;
}

export const svdJob: Job<Input, Found> = { module: jobModule(import.meta.url, './svd'), name: 'svdJob', run };

async function run({ matrix, rank, method }: Input, context: JobContext): Promise<Found> {
  const [rows, cols] = matrix.shape as [number, number];
  const data = (await context.read(matrix)).data as Float32Array;
  await using products = matrixProducts(context.engine);
  const { values, energy } = await svd({ data, rows, cols }, { ...context, products, rank, ...(method && { method }) });
  return { left: 1 - values.reduce((sum, value) => sum + value * value, 0) / energy, first: values[0]!, last: values.at(-1)! };
}

/** Normal entries times a decaying scale per row and column: a spectrum without a gap, as weights have it. */
function matrixOf(rows: number, cols: number): Float32Array<ArrayBuffer> {
  const rng = createRng(1);
  return Float32Array.from({ length: rows * cols }, (_, i) => rng.normal() * (1 + Math.floor(i / cols) / 100) ** -0.5 * (1 + (i % cols) / 100) ** -0.5);
}

interface Timed extends Found {
  readonly seconds: number;
  readonly cpu: number;
}

async function measure(): Promise<void> {
  const { values } = parseArgs({
    options: {
      python: { type: 'string', default: 'python3' },
      sizes: { type: 'string', default: '4096x4096' },
      ranks: { type: 'string', default: '4096,1024' },
      rounds: { type: 'string', default: '3' },
      threads: { type: 'string', default: '2' },
      method: { type: 'string' },
      out: { type: 'string' },
    },
  });
  const peer = spawn(values.python, [fileURLToPath(new URL('../peers/bench/svd.py', import.meta.url)), values.threads], { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: peer.stdout })[Symbol.asyncIterator]();
  const folder = await mkdtemp(join(tmpdir(), 'penjing-svd-'));
  try {
    await using jobs = ortJobs({ threads: Number(values.threads) });
    // threads, modules and small graphs are there before anything is timed
    await jobs.run(svdJob, { matrix: await jobs.refer(DenseTensor.of('float32', [64, 64], matrixOf(64, 64))), rank: 8, method: values.method as 'gram' | undefined });
    const rows = [];
    for (const size of values.sizes.split(',')) {
      const [height = 0, width = 0] = size.split('x').map(Number);
      const data = matrixOf(height, width);
      const path = join(folder, size);
      await writeFile(path, data);
      const matrix = await jobs.refer(DenseTensor.of('float32', [height, width], data));
      for (const rank of values.ranks.split(',').map(Number)) {
        const times: { ours: Timed; numpy: Timed; load: number }[] = [];
        for (let round = 0; round < Number(values.rounds); round++) {
          const started = performance.now();
          const before = process.cpuUsage();
          const found = await jobs.run(svdJob, { matrix, rank, method: values.method as 'gram' | undefined });
          const { user, system } = process.cpuUsage(before);
          const ours = { ...found, seconds: (performance.now() - started) / 1000, cpu: (user + system) / 1e6 };
          peer.stdin.write(`${path} ${height} ${width} ${rank}\n`);
          const numpy = JSON.parse(((await answers.next()) as { value: string }).value) as Timed;
          times.push({ ours, numpy, load: loadavg()[0]! });
          console.log(`${size} rank ${rank}: ours ${shown(ours)}; NumPy ${shown(numpy)}; load ${loadavg()[0]!.toFixed(1)}`);
        }
        const ratio = (of: (time: Timed) => number): number => median(times.map((time) => of(time.ours) / of(time.numpy)));
        rows.push({ size, rank, ratios: { seconds: ratio(({ seconds }) => seconds), cpu: ratio(({ cpu }) => cpu) }, times });
      }
    }
    if (values.out) await writeFile(values.out, `${JSON.stringify({ machine: `${cpus().length} × ${cpus()[0]?.model ?? ''}`, threads: Number(values.threads), rows }, null, 1)}\n`);
  } finally {
    peer.stdin.end();
    await rm(folder, { recursive: true, force: true });
  }
}

function shown({ seconds, cpu, left, first, last }: Timed): string {
  return `${seconds.toFixed(2)} s (CPU ${cpu.toFixed(2)} s), σ ${first.toFixed(3)} … ${last.toFixed(5)}, left over ${left.toFixed(6)}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await measure();
