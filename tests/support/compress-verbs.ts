/** A small model of two products, one without weights, and samples of its input, in a folder; and the verbs of compression run on them. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng, denseOf, GraphBuilder, memorySource, Model, tensorType } from '@penjing/core';
import { readOnnx, serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { runCaptured } from '../../apps/cli/src/testing/run-captured.js';
import { TestSession } from './ort-session.js';

export interface VerbFolder extends AsyncDisposable {
  readonly at: (...parts: string[]) => string;
}

/** in.onnx, weightless.onnx and data.jsonl. */
export async function verbFolder(): Promise<VerbFolder> {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-verbs-'));
  const at = (...parts: string[]): string => join(folder, ...parts);
  const rng = createRng(4);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number) => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => rng.normal() / Math.sqrt(rows))));
  const h = b.op('Relu', [b.op('MatMul', [b.input('x', tensorType('float32', ['n', 64])), weight('up', 64, 128)])]);
  b.output(b.op('Identity', [b.op('Add', [b.op('MatMul', [h, weight('down', 128, 64)]), b.initializer('bias', denseOf('float32', [64], Array.from({ length: 64 }, () => rng.normal())))])]), 'y', tensorType('float32', ['n', 64]));
  await saveFile(at('in.onnx'), serializeOnnx(model, { name: 'in.onnx' }));
  const plain = new Model();
  plain.opsetImports.set('', 21);
  const c = new GraphBuilder(plain.graph);
  c.output(c.op('Relu', [c.input('x', tensorType('float32', ['n', 64]))]), 'y', tensorType('float32', ['n', 64]));
  await saveFile(at('weightless.onnx'), serializeOnnx(plain, { name: 'weightless.onnx' }));
  await writeFile(at('data.jsonl'), Array.from({ length: 6 }, () => JSON.stringify({ x: [Array.from({ length: 64 }, () => rng.normal())] })).join('\n'));
  return { at, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

export const open = async (path: string): Promise<Model> => readOnnx(memorySource(await readFile(path)));
export const bytes = async (path: string): Promise<number> => (await stat(path)).size;

export async function outputs(path: string): Promise<Float32Array> {
  await using executor = await TestSession.load(await open(path));
  const rng = createRng(9);
  return (await executor.run({ x: denseOf('float32', [3, 64], Array.from({ length: 192 }, () => rng.normal())) })).y!.data as Float32Array;
}

export function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

/** The run as --json tells it; throws when it failed. */
export async function made(...argv: string[]): Promise<{ records: { name: string; method: string; sparsity?: number; rank?: number; paletteBits?: number; note?: string }[] }> {
  const { code, stdout } = await runCaptured(...argv, '--json', '--quiet');
  if (code !== 0) throw new Error(stdout);
  return JSON.parse(stdout) as never;
}
