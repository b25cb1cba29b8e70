/** Peak memory of a whole process tree while checkpoints of 2, 8 and 24 GB become 4-bit, with cold and warm page cache. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeCheckpoint } from './make-checkpoint.js';

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '2,8,24' }, folder: { type: 'string', default: tmpdir() },
    out: { type: 'string', default: 'bench/results/memory.json' },
    /** A command line with {in} and {out}, for example `node apps/cli/dist/main.js convert {in} -o {out} --bits 4`. */
    command: { type: 'string' },
    /** Timed on every checkpoint, for example `node apps/cli/dist/main.js inspect {in} --json`. */
    inspect: { type: 'string' },
  },
});

interface Run {
  readonly sizeGB: string;
  readonly cache: 'cold' | 'warm';
  readonly peakMB: number;
  readonly processes: number;
  readonly seconds: number;
  readonly loadAverage: number;
}

const folder = join(values.folder, `penjing-memory-${process.pid}`);
await mkdir(folder, { recursive: true });
const runs: Run[] = [];
const inspected: { readonly sizeGB: string; readonly ms: readonly number[] }[] = [];
try {
  const command = values.command ?? bundledChild();
  for (const size of values.sizes.split(',')) {
    const input = join(folder, 'in');
    await makeCheckpoint(input, size);
    for (const cache of ['cold', 'warm'] as const) {
      if (cache === 'cold') await dropCache(input);
      const output = join(folder, 'out');
      const run = await measure(command.replace('{in}', input).replace('{out}', output), size, cache);
      console.log(`${size} GB ${cache}: ${run.peakMB.toFixed(0)} MB peak, ${run.seconds.toFixed(1)} s (load ${run.loadAverage.toFixed(1)})`);
      runs.push(run);
      await rm(output, { recursive: true, force: true });
    }
    if (values.inspect) inspected.push({ sizeGB: size, ms: await timed(values.inspect.replace('{in}', input)) });
    await rm(input, { recursive: true });
  }
  const peaks = runs.map(({ peakMB }) => peakMB);
  const result = {
    what: 'sum over the process tree of the peak resident set (VmHWM) of every process, default Node flags',
    machine: `${cpus()[0]?.model}, ${availableParallelism()} cores, ${(totalmem() / 1e9).toFixed(0)} GB, Node ${process.version}`,
    command: values.command ?? 'bench/memory-child.ts, bundled: every matrix to MatMulNBits int4 block 32 through saveLayouts',
    largestMB: Math.max(...peaks), spread: Math.max(...peaks) / Math.min(...peaks) - 1, runs,
    ...(values.inspect && { inspectCommand: values.inspect, inspected }),
  };
  await mkdir('bench/results', { recursive: true });
  await writeFile(values.out, `${JSON.stringify(result, undefined, 2)}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** The child as plain JavaScript over the built packages, so that no compiler is counted. */
function bundledChild(): string {
  const outfile = join(import.meta.dirname, 'node_modules', '.memory-child.mjs');
  const esbuild = join(import.meta.dirname, '../node_modules/.bin/esbuild');
  const source = join(import.meta.dirname, 'memory-child.ts');
  execFileSync(esbuild, [source, `--outfile=${outfile}`, '--bundle', '--packages=external', '--format=esm', '--platform=node', '--log-level=error']);
  return `node ${outfile} {in} {out}`;
}

async function measure(command: string, sizeGB: string, cache: 'cold' | 'warm'): Promise<Run> {
  const [file = '', ...args] = command.split(' ');
  const loadAverage = loadavg()[0]!;
  const started = performance.now();
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const peaks = new Map<number, number>();
  const timer = setInterval(() => pollTree(child.pid!, peaks), 10);
  // What it prints is read and dropped, so that a full pipe does not stop it.
  child.stdout.resume();
  const [code] = (await once(child, 'exit')) as [number];
  clearInterval(timer);
  if (code !== 0) throw new Error(`${command} failed with ${code}`);
  const peakMB = [...peaks.values()].reduce((sum, kB) => sum + kB, 0) / 1000;
  return { sizeGB, cache, peakMB, processes: peaks.size, seconds: (performance.now() - started) / 1000, loadAverage };
}

/** Wall time of a command from start to exit, five times, in ms. */
async function timed(command: string): Promise<number[]> {
  const [file = '', ...args] = command.split(' ');
  const times: number[] = [];
  for (let run = 0; run < 5; run++) {
    const started = performance.now();
    await once(spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit'] }), 'exit');
    times.push(Math.round(performance.now() - started));
  }
  console.log(`${command}: ${times.join(', ')} ms`);
  return times;
}

/** Raises the recorded peak (kB) of a process and of everything it started. */
function pollTree(root: number, peaks: Map<number, number>): void {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? readText(`/proc/${name}/stat`) : '';
    if (stat === '') continue;
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const visit = (pid: number): void => {
    const peak = /VmHWM:\s+(\d+)/.exec(readText(`/proc/${pid}/status`));
    if (peak) peaks.set(pid, Math.max(peaks.get(pid) ?? 0, Number(peak[1])));
    (children.get(pid) ?? []).forEach(visit);
  };
  visit(root);
}

/** A process may end while it is looked at. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Drops the pages of these files only. */
async function dropCache(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    execFileSync('dd', [`if=${join(path, name)}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' });
  }
}
