/** Workers of a fleet as processes, and a model that is worth sharing. */
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { DenseTensor, GraphBuilder, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { type Running, startPenjing } from './penjing-process.js';

/** Ready to take jobs. */
export function startWorker(url: string, root: string, ...more: readonly string[]): Promise<Running> {
  return new Processes().worker(url, root, { more });
}

/** What a test started: killed where the scope ends, however far each has come. */
export class Processes implements AsyncDisposable {
  readonly #all: Running[] = [];

  start(...args: Parameters<typeof startPenjing>): Running {
    const started = startPenjing(...args);
    this.#all.push(started);
    return started;
  }

  /** Resolves when it is ready to take jobs. On a host of its own: `under` is `ip netns exec NAME`. */
  async worker(url: string, root: string, { under = [], milliseconds = 240_000, more = [] }: { readonly under?: readonly string[]; readonly milliseconds?: number; readonly more?: readonly string[] } = {}): Promise<Running> {
    const started = this.start(['worker', '--join', url, '--root', root, '--threads', '1', ...more], { milliseconds, under });
    let said = '';
    await new Promise<void>((resolve, reject) => {
      started.process.stderr?.on('data', (chunk: Buffer) => {
        if ((said += chunk.toString()).includes('ready')) resolve();
      });
      void started.ended.then(({ stderr }) => reject(new Error(`the worker ended: ${stderr}`)));
    });
    return started;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return killAll(this.#all);
  }
}

export async function killAll(workers: readonly Running[]): Promise<void> {
  for (const { process } of workers) process.kill('SIGKILL');
  await Promise.all(workers.map(({ ended }) => ended));
}

/** Results that a run of `batch` has up to now; none before it begins and after it has ended. */
export async function resultsOf(output: string): Promise<number> {
  const text = await readFile(`${output}.penjing/outcomes.jsonl`, 'utf8').catch(() => '');
  // The first line says whose they are.
  return Math.max(0, text.split('\n').length - 2);
}

/** Resolves when a run of `batch` has `least` results. */
export async function hasResults(output: string, least: number): Promise<void> {
  for (let i = 0; i < 3_000; i++) {
    if ((await resultsOf(output)) >= least) return;
    await sleep(20);
  }
  throw new Error('no progress');
}

/** A chain of layers of `size` × `size`. */
export async function writeLayers(path: string, { size, layers }: { readonly size: number; readonly layers: number }): Promise<void> {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  let x = b.input('x', tensorType('float32', ['batch', size]));
  for (let layer = 0; layer < layers; layer++) {
    let state = layer + 1;
    const values = Float32Array.from({ length: size * size }, () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state | 0) / 2 ** 35;
    });
    x = b.op('MatMul', [x, b.initializer(`layer.${layer}`, DenseTensor.of('float32', [size, size], values))]);
  }
  b.output(x, 'y', tensorType('float32', ['batch', size]));
  await saveFile(path, serializeOnnx(model, { name: path.split('/').at(-1) ?? 'model.onnx', externalData: 'never' }));
}

/** Rows of inputs for it. */
export function writeRows(path: string, { size, rows }: { readonly size: number; readonly rows: number }): void {
  writeFileSync(path, Array.from({ length: rows }, (_, row) => `${JSON.stringify({ x: Array.from({ length: size }, (_, i) => ((row * 31 + i * 17) % 101) / 101 - 0.5) })}\n`).join(''));
}
