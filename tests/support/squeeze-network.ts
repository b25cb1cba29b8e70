/** A small network as a file, samples that show it and samples that miss half of it, and `penjing squeeze` on them. */
import { writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng, denseOf, GraphBuilder, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import type { SqueezeResult } from '@penjing/recipe';
import { runCaptured } from '../../apps/cli/src/testing/run-captured.js';

const [WIDTH, HIDDEN, OUTPUTS, SAMPLES] = [64, 96, 32, 48];

export interface SqueezeNetwork {
  readonly folder: string;
  /** A path in the folder: `model.onnx`, `even.jsonl`, `held.jsonl` (every fourth of them), `missed.jsonl`. */
  readonly at: (...parts: string[]) => string;
  readonly squeeze: (output: string, ...options: string[]) => Promise<{ code: number; result: SqueezeResult; error: { code: string; message: string } }>;
}

/** Three matrices with activations between them; 48 samples of 8 rows. The caller deletes the folder. */
export async function squeezeNetwork(): Promise<SqueezeNetwork> {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-squeeze-test-'));
  const at = (...parts: string[]): string => join(folder, ...parts);
  const rng = createRng(11);
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number) => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => rng.normal() / Math.sqrt(rows))));
  let h = b.input('x', tensorType('float32', ['n', WIDTH]));
  h = b.op('Relu', [b.op('MatMul', [h, weight('first', WIDTH, HIDDEN)])]);
  h = b.op('Relu', [b.op('MatMul', [h, weight('second', HIDDEN, HIDDEN)])]);
  b.output(b.op('MatMul', [h, weight('third', HIDDEN, OUTPUTS)]), 'y', tensorType('float32', ['n', OUTPUTS]));
  await saveFile(at('model.onnx'), serializeOnnx(model, { name: 'model.onnx' }));

  const rows = (gain: (channel: number) => number): number[][] => Array.from({ length: 8 }, () => Array.from({ length: WIDTH }, (_, i) => rng.normal() * gain(i)));
  const write = (name: string, samples: readonly number[][][]): void => writeFileSync(at(name), samples.map((x) => `${JSON.stringify({ x })}\n`).join(''));
  const even = Array.from({ length: SAMPLES }, () => rows(() => 1));
  write('even.jsonl', even);
  write('held.jsonl', even.filter((_, i) => i % 4 === 3));
  // what chooses hardly ever shows the first half of the channels, what judges shows them all
  write('missed.jsonl', Array.from({ length: SAMPLES }, (_, i) => rows((channel) => (channel < WIDTH / 2 && i % 4 !== 3 ? 0.02 : 1))));
  return {
    folder, at,
    async squeeze(output, ...options) {
      const { code, stdout } = await runCaptured('squeeze', at('model.onnx'), '-o', at(output), '--json', '--quiet', ...options);
      const json = JSON.parse(stdout) as SqueezeResult & { error: { code: string; message: string } };
      return { code, result: json, error: json.error };
    },
  };
}
