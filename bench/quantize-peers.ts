/** Checkpoint to 4 bits, whole processes side by side: `penjing quantize` and ONNX Runtime's Python quantizer, same tensors. */
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { makeCheckpoint } from './make-checkpoint.js';

const execute = promisify(execFile);
const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '0.8' },
    rounds: { type: 'string', default: '3' },
    /** A Python with `peers/requirements.txt`. */
    python: { type: 'string', default: process.env['PENJING_PYTHON'] ?? 'python3' },
    folder: { type: 'string', default: tmpdir() },
    out: { type: 'string', default: 'bench/results/quantize-peers.json' },
  },
});

interface Sample {
  readonly weights: number;
  readonly seconds: number;
  readonly weightsPerSecond: number;
}

const folder = await mkdtemp(join(values.folder, 'penjing-peers-'));
try {
  const input = join(folder, 'in');
  await makeCheckpoint(input, values.size);
  const samples = new Map<string, Sample[]>();
  const add = (name: string, sample: Sample): void => {
    samples.set(name, [...(samples.get(name) ?? []), sample]);
    console.log(`${name}: ${(sample.weightsPerSecond / 1e6).toFixed(0)} M weights/s (${sample.seconds.toFixed(2)} s, load ${loadavg()[0]!.toFixed(1)})`);
  };
  for (let round = 0; round < Number(values.rounds); round++) {
    await warm(input);
    add('penjing quantize (process start to exit, fsynced)', await ours(input, join(folder, 'out')));
    for (const dtype of ['bfloat16', 'float32']) {
      add(`onnxruntime matmul_nbits_quantizer, ${dtype} model (load, quantize, save)`, await peer(input, dtype));
    }
  }
  const medians = [...samples].map(([name, list]) => ({ name, weights: list[0]!.weights, median: median(list), runs: list }));
  const [first, ...rest] = medians;
  const ratios = rest.map(({ name, median: other }) => ({ against: name, ratio: first!.median / other }));
  for (const { against, ratio } of ratios) console.log(`${ratio.toFixed(2)}× ${against}`);
  const result = {
    what: '4 bits, symmetric, block 32, page-cached input; ours reads the bf16 checkpoint, the peer an ONNX model made of it beforehand',
    machine: `${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}`,
    command: 'npx tsx bench/quantize-peers.ts --python PYTHON (after npm run build)',
    medians,
    ratios,
  };
  await mkdir('bench/results', { recursive: true });
  await writeFile(values.out, `${JSON.stringify(result, undefined, 2)}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function ours(input: string, output: string): Promise<Sample> {
  const started = performance.now();
  const { stdout } = await execute(process.execPath, ['apps/cli/dist/main.js', 'quantize', input, '-o', output, '--no-check', '--json', '--quiet'], { maxBuffer: 1 << 28 });
  const seconds = (performance.now() - started) / 1000;
  const { records } = JSON.parse(stdout) as { records: { method: string; elements: number }[] };
  const weights = records.filter(({ method }) => method !== 'none').reduce((sum, { elements }) => sum + elements, 0);
  await rm(output, { recursive: true });
  return { weights, seconds, weightsPerSecond: weights / seconds };
}

async function peer(input: string, dtype: string): Promise<Sample> {
  const { stdout } = await execute(values.python, ['peers/bench/ort_nbits.py', input, '--dtype', dtype, '--runs', '1', '--work', folder], { maxBuffer: 1 << 28 });
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { weights: number; seconds_load: number; seconds_quantize: number; seconds_save: number };
  const seconds = report.seconds_load + report.seconds_quantize + report.seconds_save;
  return { weights: report.weights, seconds, weightsPerSecond: report.weights / seconds };
}

async function warm(path: string): Promise<void> {
  for (const name of await readdir(path)) for await (const _ of createReadStream(join(path, name), { highWaterMark: 1 << 22 }));
}

function median(list: readonly Sample[]): number {
  const sorted = list.map(({ weightsPerSecond }) => weightsPerSecond).sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
