/**
 * Conversions between formats with the built command: wall time and processor time of the whole process, its peak memory, the
 * load of the machine. Where others use the cores too, two free ones are predicted from the processor time.
 *
 *     npx tsx --conditions=@penjing/source bench/convert.ts [--size 0.8] [--runs 3] [--folder /tmp] [--filter Q8_0,F16]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeCheckpoint } from './make-checkpoint.js';
import { makePerceptron } from './make-perceptron.js';

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '0.8' }, runs: { type: 'string', default: '3' }, folder: { type: 'string', default: tmpdir() },
    filter: { type: 'string', default: '' },
  },
});

/** Ticks of a second in /proc. */
const TICKS = 100;

const folder = join(values.folder, `penjing-convert-${process.pid}`);
const at = (name: string): string => join(folder, name);

/** [name, verb, input, output, options]; inputs are outputs of earlier rows that stay. */
const rows = [
  ['to ONNX, float32', 'convert', 'in', 'onnx', ['--no-check']],
  ['to ONNX, int4', 'quantize', 'in', 'onnx', ['--bits', '4', '--no-check']],
  ['to GGUF Q8_0', 'quantize', 'in', 'q8.gguf', ['--bits', '8']],
  ['to GGUF Q4_0', 'quantize', 'in', 'q4.gguf', ['--bits', '4']],
  ['to GGUF F16', 'convert', 'in', 'f16.gguf', []],
  ['to int8 .pth', 'quantize', 'in', 'int8.pth', ['--bits', '8']],
  ['to .pth', 'convert', 'in', 'model.pth', []],
  ['.pth to safetensors', 'convert', 'model.pth', 'back.safetensors', []],
  ['GGUF Q8_0 to ONNX, blocks kept', 'convert', 'q8.gguf', 'onnx', ['--no-check']],
  ['GGUF Q4_0 to ONNX, blocks kept', 'convert', 'q4.gguf', 'onnx', ['--no-check']],
  ['GGUF Q8_0 to ONNX, float32', 'convert', 'q8.gguf', 'onnx', ['--no-check', '--blocks', 'float']],
  ['GGUF Q4_0 to ONNX, float32', 'convert', 'q4.gguf', 'onnx', ['--no-check', '--blocks', 'float']],
  ['ONNX to TensorFlow Lite, float32', 'convert', 'layers.onnx', 'layers.tflite', []],
  ['ONNX to TensorFlow Lite, int8', 'convert', 'layers.onnx', 'layers.tflite', ['--weights', 'int8']],
] as const;

try {
  await mkdir(folder, { recursive: true });
  for (const [i, [name, verb, input, output, options]] of rows.entries()) {
    const asked = values.filter.split(',').some((part) => name.includes(part));
    const needed = neededAfter(i, output);
    if (!asked && !needed) continue;
    await makeInput(input);
    const read = await bytesIn(at(input));
    const runs = [];
    for (let run = 0; run < (asked ? Number(values.runs) : 1); run++) {
      await rm(at(output), { recursive: true, force: true });
      runs.push(await measure(['apps/cli/dist/main.js', verb, at(input), '-o', at(output), '--quiet', ...options]));
    }
    if (asked) report(name, read, await bytesIn(at(output)), runs);
    // Large checkpoints leave no room for what nobody reads any more.
    if (!needed) await rm(at(output), { recursive: true });
    if (!neededAfter(i, input)) await rm(at(input), { recursive: true });
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Whether a later row that is asked for reads this, or what is made of it. */
function neededAfter(row: number, name: string): boolean {
  return rows.some(([title, , input, output], i) => i > row && input === name && (values.filter.split(',').some((part) => title.includes(part)) || neededAfter(i, output)));
}

/** Inputs that no row makes. */
async function makeInput(name: string): Promise<void> {
  if (existsSync(at(name))) return;
  if (name === 'in') await makeCheckpoint(at(name), values.size);
  else await makePerceptron(at(name), Number(values.size) * 1e9);
}

function report(name: string, read: number, written: number, runs: readonly Measured[]): void {
  const processor = median(runs.map(({ processorSeconds }) => processorSeconds));
  const seconds = runs.map((run) => run.seconds);
  console.log(
    `${name}: ${(read / 1e9).toFixed(2)} GB to ${(written / 1e9).toFixed(2)} GB, ${seconds.map((one) => one.toFixed(2)).join(', ')} s, ` +
      `processor ${processor.toFixed(2)} s, ${(read / 1e9 / median(seconds)).toFixed(2)} GB/s ` +
      `(two free cores: ${((2 * read) / 1e9 / processor).toFixed(2)}), ${Math.max(...runs.map(({ peakMB }) => peakMB)).toFixed(0)} MB, load ${loadavg()[0]!.toFixed(1)}`,
  );
}

interface Measured {
  readonly seconds: number;
  readonly processorSeconds: number;
  readonly peakMB: number;
}

async function measure(args: readonly string[]): Promise<Measured> {
  const started = performance.now();
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  let processorSeconds = 0;
  let peakMB = 0;
  const timer = setInterval(() => {
    try {
      const stat = readFileSync(`/proc/${child.pid}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      processorSeconds = (Number(fields[11]) + Number(fields[12])) / TICKS;
      peakMB = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'latin1'))?.[1] ?? peakMB * 1000) / 1000;
    } catch {
      // it has ended
    }
  }, 5);
  const [code] = (await once(child, 'exit')) as [number];
  clearInterval(timer);
  if (code !== 0) throw new Error(`${args.join(' ')} failed with ${code}`);
  return { seconds: (performance.now() - started) / 1000, processorSeconds, peakMB };
}

/** Of a folder, or of a file and those beside it that its name begins. */
async function bytesIn(path: string): Promise<number> {
  const isFolder = statSync(path).isDirectory();
  const parent = isFolder ? path : dirname(path);
  const names = (await readdir(parent, { recursive: isFolder })).filter((name) => isFolder || name.startsWith(basename(path)));
  return names.reduce((sum, name) => sum + (statSync(join(parent, name)).isFile() ? statSync(join(parent, name)).size : 0), 0);
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
