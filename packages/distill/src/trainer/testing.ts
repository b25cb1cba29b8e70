/** A small classifier and its data for tests of the trainer. */
import { createRng, DenseTensor, denseOf, type Engine, GraphBuilder, inlineJobs, type JobHost, Model, tensorType } from '@penjing/core';
import { plainKernels } from '@penjing/kernels';
import type { Dataset } from './dataset.js';

export const jobsOn = (engine: Engine): JobHost => inlineJobs({ engine, kernels: plainKernels() });

/** x (n, 4) → logits (n, 3) by way of `hidden` features. */
export function classifier(hidden = 6, seed = 1): Model {
  const rng = createRng(seed);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, shape: number[]) => b.initializer(name, denseOf('float32', shape, Array.from({ length: shape.reduce((a, c) => a * c, 1) }, () => 0.5 * rng.normal())));
  const x = b.input('x', tensorType('float32', ['n', 4]));
  const first = b.op('Tanh', [b.op('Gemm', [x, weight('first.weight', [4, hidden]), weight('first.bias', [hidden])])]);
  b.output(b.op('Gemm', [first, weight('second.weight', [hidden, 3]), weight('second.bias', [3])]), 'logits', tensorType('float32', ['n', 3]));
  weight('unused.weight', [2, 2]);
  return model;
}

/** x → s = first(x) → s + tanh(s W) V → second. */
export function residual(): Model {
  const model = classifier();
  const b = new GraphBuilder(model.graph);
  const last = [...model.graph.nodes()].at(-1)!;
  const square = (name: string) => b.initializer(name, denseOf('float32', [6, 6], Array.from({ length: 36 }, (_, i) => 0.4 * Math.sin(i + name.length))));
  last.setInput(0, b.before(last, () => b.op('Add', [b.op('MatMul', [b.op('Tanh', [b.op('MatMul', [last.input(0), square('in')])]), square('branch')]), last.input(0)])));
  return model;
}

/** Three classes that a line does not part. */
export async function samples(jobs: JobHost, count: number, seed = 7): Promise<Dataset> {
  const rng = createRng(seed);
  const x = Float32Array.from({ length: count * 4 }, () => rng.normal());
  const labels = BigInt64Array.from({ length: count }, (_, i) => BigInt(x[4 * i]! * x[4 * i + 1]! > 0 ? 0 : x[4 * i + 2]! > 0 ? 1 : 2));
  return {
    columns: { x: await jobs.refer(DenseTensor.of('float32', [count, 4], x)), labels: await jobs.refer(DenseTensor.of('int64', [count], labels)) },
    classes: { labels: 3 },
  };
}

/** Initializers of a model as plain numbers. */
export async function weightsOf(model: Model): Promise<Record<string, number[]>> {
  return Object.fromEntries(await Promise.all([...model.graph.initializers].map(async ([name, { tensor }]) => [name, Array.from((new DenseTensor(tensor!.dtype, tensor!.shape, (await tensor!.load()).slice())).data as Float32Array)] as const)));
}
