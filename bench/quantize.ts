/** Weights per second, end to end: a page-cached bf16 checkpoint to fsynced MatMulNBits tensors. */
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createPool, saveLayouts } from '@penjing/graph-io/node';
import { int4Layout, openCheckpoint } from './int4-layout.js';
import { makeCheckpoint } from './make-checkpoint.js';

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '0.8' }, runs: { type: 'string', default: '5' }, threads: { type: 'string' },
    folder: { type: 'string', default: tmpdir() }, out: { type: 'string', default: 'bench/results/quantize.json' }, checkpoint: { type: 'string' },
  },
});

const folder = await mkdtemp(join(values.folder, 'penjing-bench-'));
try {
  const input = values.checkpoint ?? join(folder, 'in');
  if (!values.checkpoint) await makeCheckpoint(input, values.size);
  await warm(input);
  const { layout, weights } = int4Layout(await openCheckpoint(input));
  const threads = values.threads === undefined ? availableParallelism() : Number(values.threads);
  const runs: { seconds: number; weightsPerSecond: number; cpuSeconds: number; loadAverage: number }[] = [];
  for (let run = 0; run < Number(values.runs); run++) {
    const output = join(folder, `out-${run}`);
    const cpu = process.cpuUsage();
    const started = performance.now();
    // The pool starts inside the measured time: that is what a user waits for.
    await using pool = createPool({ threads });
    await saveLayouts(output, [layout], { pool });
    const seconds = (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    const cpuSeconds = (user + system) / 1e6;
    runs.push({ seconds, weightsPerSecond: weights / seconds, cpuSeconds, loadAverage: loadavg()[0]! });
    console.log(`${(weights / 1e6).toFixed(0)} M weights in ${seconds.toFixed(2)} s: ${(weights / seconds / 1e6).toFixed(0)} M weights/s (cpu ${cpuSeconds.toFixed(2)} s, load ${loadavg()[0]!.toFixed(1)})`);
    await rm(output, { recursive: true });
  }
  const sorted = runs.map(({ weightsPerSecond }) => weightsPerSecond).sort((a, b) => a - b);
  const result = {
    what: '4-bit symmetric block 32, page-cached bf16 checkpoint to fsynced values and scales, pool start included',
    machine: `${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}`,
    command: 'npx tsx bench/quantize.ts (built packages)',
    weights, threads, outputBytes: layout.size, medianWeightsPerSecond: sorted[sorted.length >> 1], bestWeightsPerSecond: sorted.at(-1), runs,
  };
  await mkdir('bench/results', { recursive: true });
  await writeFile(values.out, `${JSON.stringify(result, undefined, 2)}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function warm(path: string): Promise<void> {
  for (const name of await readdir(path)) for await (const _ of createReadStream(join(path, name), { highWaterMark: 1 << 22 }));
}
