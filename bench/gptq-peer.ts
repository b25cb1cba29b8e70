/**
 * GPTQ or SparseGPT of one layer against the implementation of the paper in PyTorch (`peers/compression`), in turn on the same cores:
 * `npx tsx --conditions=@penjing/source bench/gptq-peer.ts --python .venv/bin/python --sizes 4096x4096,4096x11008 --rounds 5 --out bench/results/gptq-peer.json`,
 * `… bench/gptq-peer.ts --method sparsegpt --goals 0.5,2:4 --out bench/results/sparsegpt-peer.json`
 */
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pruneJob } from '@penjing/compress';
import { createRng, DenseTensor, type TensorReference } from '@penjing/core';
import { gptqJob } from '@penjing/quantize';
import { ortJobs } from '@penjing/runtime';

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    method: { type: 'string', default: 'gptq' },
    /** Inputs × outputs. */
    sizes: { type: 'string', default: '4096x4096,4096x11008' },
    bits: { type: 'string', default: '4' },
    block: { type: 'string', default: '128' },
    /** Of sparsegpt: shares of zeros, or patterns. */
    goals: { type: 'string', default: '0.5,2:4' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    out: { type: 'string' },
  },
});

interface Method {
  /** Words for the peer, and names of rows. */
  readonly variants: readonly string[];
  /** The objective that was reached. */
  readonly run: (hessian: Float32Array, size: number, weights: TensorReference, variant: string) => Promise<number>;
}

const methods: Readonly<Record<string, Method>> = {
  gptq: {
    variants: [`${values.bits} ${values.block}`],
    async run(hessian, size, weights) {
      const scheme = { bits: Number(values.bits) as 4, blockSize: Number(values.block) as 128, symmetric: false };
      return (await jobs.run(gptqJob, { hessian, size, scheme, matrices: [{ weights }] })).matrices[0]!.objective;
    },
  },
  sparsegpt: {
    variants: values.goals.split(','),
    async run(sums, size, weights, goal) {
      const [keep = 0, of] = goal.split(':').map(Number);
      const sparsity = of === undefined ? ({ kind: 'share', share: keep } as const) : ({ kind: 'pattern', keep, of } as const);
      const [pruned] = (await jobs.run(pruneJob, { metric: { kind: 'hessian', sums }, size, sparsity, matrices: [weights] })).matrices;
      if (typeof pruned !== 'object') throw new Error(pruned);
      return pruned.objective;
    },
  },
};
const { variants, run } = methods[values.method] ?? (() => { throw new Error(`--method ${values.method}: gptq or sparsegpt`); })();

const peer = spawn(values.python, [fileURLToPath(new URL('../peers/bench/gptq_layer.py', import.meta.url)), values.threads], { stdio: ['pipe', 'pipe', 'inherit'] });
const answers = createInterface({ input: peer.stdout })[Symbol.asyncIterator]();
interface Timed {
  readonly seconds: number;
  /** Of all threads: what a busy machine does not change, as long as no thread spins. */
  readonly cpu: number;
}

async function theirs(inputs: number, outputs: number, variant: string): Promise<Timed> {
  peer.stdin.write(`${values.method} ${inputs} ${outputs} ${variant}\n`);
  const { value } = (await answers.next()) as { value: string };
  const { finite, ...timed } = JSON.parse(value) as Timed & { finite: boolean };
  if (!finite) throw new Error('PyTorch gave values that are not finite');
  return timed;
}

/** A positive definite matrix with the shape of a Hessian: a band that couples neighbours, some inputs much larger. */
function hessianOf(size: number): Float32Array {
  const hessian = new Float32Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = Math.max(0, i - 64); j < Math.min(size, i + 65); j++) hessian[i * size + j] = (1 - Math.abs(i - j) / 65) * (i % 7 === 3 ? 4 : 1) * (j % 7 === 3 ? 4 : 1);
    hessian[i * size + i]! += 0.5;
  }
  return hessian;
}

await using jobs = ortJobs({ threads: Number(values.threads) });
const rng = createRng(1);
async function ours(inputs: number, outputs: number, hessian: Float32Array, variant: string): Promise<Timed> {
  const weights = await jobs.refer(DenseTensor.of('float32', [outputs, inputs], Float32Array.from({ length: inputs * outputs }, () => rng.uniform() - 0.5)));
  const cpu = process.cpuUsage();
  const started = performance.now();
  const objective = await run(hessian.slice(), inputs, weights, variant);
  if (!Number.isFinite(objective)) throw new Error('not finite');
  const { user, system } = process.cpuUsage(cpu);
  return { seconds: (performance.now() - started) / 1000, cpu: (user + system) / 1e6 };
}

const shown = ({ seconds, cpu }: Timed): string => `${seconds.toFixed(2)} s (CPU ${cpu.toFixed(2)} s)`;
const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]!;
// threads, modules and small graphs are loaded before anything is timed
for (const variant of variants) {
  await ours(256, 256, hessianOf(256), variant);
  await theirs(256, 256, variant);
}
const rows = [];
for (const size of values.sizes.split(',')) for (const variant of variants) {
  const [inputs = 0, outputs = 0] = size.split('x').map(Number);
  const hessian = hessianOf(inputs);
  const times: { ours: Timed; theirs: Timed; load: number }[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const pair = { ours: await ours(inputs, outputs, hessian, variant), theirs: await theirs(inputs, outputs, variant), load: loadavg()[0]! };
    times.push(pair);
    console.log(`${values.method} ${variant} ${size} round ${round}: ours ${shown(pair.ours)}, PyTorch ${shown(pair.theirs)}, load ${pair.load.toFixed(1)}`);
  }
  const medians = (of: (time: Timed) => number): { ours: number; theirs: number; ratio: number } => ({
    ours: median(times.map((time) => of(time.ours))),
    theirs: median(times.map((time) => of(time.theirs))),
    ratio: median(times.map((time) => of(time.ours) / of(time.theirs))),
  });
  const row = { method: values.method, variant, size, seconds: medians(({ seconds }) => seconds), cpu: medians(({ cpu }) => cpu), times };
  rows.push(row);
  console.log(`${values.method} ${variant} ${size}: median ratio ${row.seconds.ratio.toFixed(2)} of the time, ${row.cpu.ratio.toFixed(2)} of the CPU time`);
}
peer.stdin.end();
if (values.out) await writeFile(values.out, `${JSON.stringify({ machine: `${cpus().length} × ${cpus()[0]?.model ?? ''}`, threads: Number(values.threads), rows }, null, 1)}\n`);
