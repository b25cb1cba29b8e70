/** A small classifier, and samples for it, in files: for tests of the verbs that train. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng, denseOf, DenseTensor, GraphBuilder, Model, tensorType } from '@penjing/core';
import { layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';

/** x (n, 4) → probabilities (n, classes). */
export function classifier(hidden: number, classes = 3): Model {
  const rng = createRng(hidden);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, shape: [number, number]) => b.initializer(name, denseOf('float32', shape, Array.from({ length: shape[0] * shape[1] }, () => rng.normal() / 2)));
  const x = b.op('Relu', [b.op('MatMul', [b.input('x', tensorType('float32', ['n', 4])), weight('first', [4, hidden])])]);
  b.output(b.op('Softmax', [b.op('MatMul', [x, weight('second', [hidden, classes])])]), 'probabilities', tensorType('float32', ['n', classes]));
  return model;
}

export async function writeModel(path: string, model: Model): Promise<void> {
  const [file] = serializeOnnx(model);
  await writeFile(path, await layoutToBytes(file!));
}

export async function weightsOf(path: string): Promise<Record<string, number[]>> {
  const { graph } = await readOnnx(await fileSource(path));
  return Object.fromEntries(await Promise.all([...graph.initializers].map(async ([name, { tensor }]) => [name, Array.from(new DenseTensor(tensor!.dtype, tensor!.shape, (await tensor!.load()).slice()).data as Float32Array)] as const)));
}

/** `large.onnx` and `small.onnx`, which need no runtime to be written, and samples: `data`, `wrong` (a label too high), `infinite` (a number too large), `bare` (no labels) and `empty`, each .jsonl. */
export async function trainingFolder(): Promise<AsyncDisposable & { at(name: string): string }> {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-train-'));
  const at = (name: string): string => join(folder, name);
  await writeModel(at('large.onnx'), classifier(16));
  await writeModel(at('small.onnx'), classifier(4));
  const rng = createRng(9);
  const lines = Array.from({ length: 300 }, () => {
    const x = Array.from({ length: 4 }, () => rng.normal());
    return { x: x.map((value) => Number(value.toFixed(4))), label: x[0]! * x[1]! > 0 ? 0 : x[2]! > 0 ? 1 : 2 };
  });
  await writeFile(at('data.jsonl'), lines.map((line) => JSON.stringify(line)).join('\n'));
  await writeFile(at('wrong.jsonl'), lines.map((line, i) => JSON.stringify({ ...line, label: i === 77 ? 3 : line.label })).join('\n'));
  await writeFile(at('bare.jsonl'), lines.map(({ x }) => JSON.stringify({ x })).join('\n'));
  await writeFile(at('infinite.jsonl'), lines.map((line, i) => JSON.stringify(line).replace('[', i === 5 ? '[1e999,' : '[').replace(i === 5 ? /,[^,]*\]/ : /$/, i === 5 ? ']' : '')).join('\n'));
  await writeFile(at('empty.jsonl'), '');
  return { at, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

/** What --json prints. */
export const printed = (text: string): Record<string, never> & { training: readonly { losses: number[]; validations: { loss: number; metrics: { accuracy: number } }[]; best: { step: number } }[]; error: { code: string; message: string; hint: string } } => JSON.parse(text) as never;

