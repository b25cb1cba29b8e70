/**
 * Conversions between formats with the built command: wall time and processor time of the whole process, its peak memory, the
 * load of the machine. Where others use the cores too, two free ones are predicted from the processor time.
 *
 *     npx tsx --conditions=@penjing/source bench/convert.ts [--size 0.8] [--runs 3] [--folder /tmp] [--filter q8]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
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
  await makeCheckpoint(at('in'), values.size);
  await makePerceptron(at('layers.onnx'), Number(values.size) * 1e9);
  for (const [name, verb, input, output, options] of rows) {
    const needed = rows.some(([, , from]) => from === output);
    if (!name.includes(values.filter) && !needed) continue;
    const read = await bytesIn(at(input));
    const runs = [];
    for (let run = 0; run < Number(values.runs); run++) {
      await rm(at(output), { recursive: true, force: true });
      runs.push(await measure(['apps/cli/dist/main.js', verb, at(input), '-o', at(output), '--quiet', ...options]));
    }
    const written = await bytesIn(at(output));
    const processor = median(runs.map(({ processorSeconds }) => processorSeconds));
    console.log(
      `${name}: ${(read / 1e9).toFixed(2)} GB to ${(written / 1e9).toFixed(2)} GB, ${runs.map(({ seconds }) => seconds.toFixed(2)).join(', ')} s, ` +
        `processor ${processor.toFixed(2)} s, ${(read / 1e9 / median(runs.map(({ seconds }) => seconds))).toFixed(2)} GB/s ` +
        `(two free cores: ${((2 * read) / 1e9 / processor).toFixed(2)}), ${Math.max(...runs.map(({ peakMB }) => peakMB)).toFixed(0)} MB, load ${loadavg()[0]!.toFixed(1)}`,
    );
    if (!needed) await rm(at(output), { recursive: true });
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function measure(args: readonly string[]): Promise<{ seconds: number; processorSeconds: number; peakMB: number }> {
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

async function bytesIn(path: string): Promise<number> {
  if (!statSync(path).isDirectory()) return statSync(path).size;
  const names = await readdir(path, { recursive: true });
  return names.reduce((sum, name) => sum + (statSync(join(path, name)).isFile() ? statSync(join(path, name)).size : 0), 0);
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
