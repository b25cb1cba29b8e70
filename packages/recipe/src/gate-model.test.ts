/** Gradients of gates against central differences of the loss, and what Taylor importance refuses. */
import { cloneModel, createRng, denseOf, type DenseTensor, type Feeds, GraphBuilder, inlineJobs, Model, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { structuredPrune } from '@penjing/compress';
import { wasmKernels } from '@penjing/kernels';
import { expect, test } from 'vitest';
import { gateModel } from './gate-model.js';

const engine = referenceEngine();
const rng = createRng(3);
const numbers = (count: number): number[] => Array.from({ length: count }, () => rng.normal() / 2);

/** Pictures → convolution of six filters → pool → ten features → three classes. */
function pictures(pool: 'GlobalAveragePool' | 'GlobalLpPool' = 'GlobalAveragePool'): Model {
  const model = new Model();
  model.opsetImports.set('', 18);
  const b = new GraphBuilder(model.graph);
  const x = b.op('Relu', [b.op('Conv', [b.input('x', tensorType('float32', ['n', 2, 6, 6])), b.initializer('kernel', denseOf('float32', [6, 2, 3, 3], numbers(108)))])]);
  const pooled = b.op('Relu', [b.op('Conv', [x, b.initializer('second', denseOf('float32', [4, 6, 3, 3], numbers(216)))])]);
  const features = b.op('Relu', [b.op('MatMul', [b.op('Flatten', [b.op(pool, [pooled])]), b.initializer('up', denseOf('float32', [4, 10], numbers(40)))])]);
  const scores = b.op('MatMul', [features, b.initializer('head', denseOf('float32', [10, 3], numbers(30)))]);
  b.output(b.op('Softmax', [scores]), 'p', tensorType('float32', ['n', 3]));
  return model;
}

const sample = (seed: number): Feeds => ({ x: denseOf('float32', [2, 2, 6, 6], Array.from({ length: 144 }, (_, i) => Math.sin(i * seed) + 0.3)) });

async function outputOf(original: Model, feeds: Feeds, name: string): Promise<Float32Array> {
  const model = cloneModel(original);
  const value = name === 'scores' ? model.graph.outputs[0]!.producer!.input(0)! : undefined;
  if (value) model.graph.outputs.push(value);
  await using executor = await engine.load(model);
  return ((await executor.run(feeds))[value?.name ?? name] as DenseTensor).data as Float32Array;
}

test('the slope along a gate is that of the loss, for features and for channels', async () => {
  const gates = [{ weight: 'head', axis: 0 }, { weight: 'second', axis: 1 }];
  const original = pictures();
  const kept = (await original.graph.initializers.get('head')!.tensor!.load()).slice();
  const { model, outputs } = await gateModel(original, gates);
  expect(original.graph.outputs.map(({ name }) => name)).toEqual(['p']);
  expect(await original.graph.initializers.get('head')!.tensor!.load()).toEqual(kept);
  await using executor = await engine.load(model);
  const slopes = await executor.run(sample(0.7));
  // the loss is fixed by what the model says as it is
  const logits = async (of: Model): Promise<number[]> => [...(await outputOf(of, sample(0.7), 'scores'))];
  const signs = (await logits(original)).map((score) => Math.sign(Math.sin(Math.fround(score * Math.fround(12_345.678)))));
  const loss = async (name: string, axis: number, index: number, factor: number): Promise<number> => {
    const changed = cloneModel(original);
    const value = changed.graph.initializers.get(name)!;
    const { shape } = value.tensor!;
    const after = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
    const data = ((value.tensor as DenseTensor).data as Float32Array).map((weight, at) => (Math.floor(at / after) % shape[axis]! === index ? weight * factor : weight));
    value.tensor = denseOf('float32', shape, [...data]);
    return (await logits(changed)).reduce((sum, score, i) => sum + score * signs[i]!, 0);
  };
  for (const [g, { weight, axis }] of gates.entries()) {
    const vector = (slopes[outputs[g]!] as DenseTensor).data as Float32Array;
    expect(vector).toHaveLength(original.graph.initializers.get(weight)!.tensor!.shape[axis]!);
    expect(vector.some((slope) => Math.abs(slope) > 1e-3)).toBe(true);
    for (let i = 0; i < vector.length; i++) {
      const difference = ((await loss(weight, axis, i, 1.01)) - (await loss(weight, axis, i, 0.99))) / 0.02;
      expect(Math.abs(vector[i]! - difference)).toBeLessThan(2e-3);
    }
  }
});

test('takes the channels that change the loss least', async () => {
  const jobs = inlineJobs({ engine, kernels: wasmKernels() });
  const model = pictures();
  // what the third and fifth channels say reaches nothing
  const second = model.graph.initializers.get('second')!;
  second.tensor = denseOf('float32', [4, 6, 3, 3], [...((second.tensor as DenseTensor).data as Float32Array)].map((weight, at) => ([2, 4].includes(Math.floor(at / 9) % 6) ? 1e-6 : weight)));
  const before = await outputOf(model, sample(0.4), 'p');
  const kernel = (model.graph.initializers.get('kernel')!.tensor as DenseTensor).data as Float32Array;
  const { model: pruned, records } = await structuredPrune({ structure: 'channels', ratio: 0.34, method: 'taylor', gateModel }).run(model, { jobs, samples: (function* () { yield sample(0.7); yield sample(1.1); })() });
  expect(pruned.graph.initializers.get('kernel')!.tensor!.shape).toEqual([4, 2, 3, 3]);
  const left = new Float32Array((await pruned.graph.initializers.get('kernel')!.tensor!.load()).slice().buffer);
  expect([...left]).toEqual([0, 1, 3, 5].flatMap((filter) => [...kernel.subarray(filter * 18, filter * 18 + 18)]));
  expect(records.find(({ name }) => name === 'kernel')!.method).toMatch(/taylor/);
  const after = await outputOf(pruned, sample(0.4), 'p');
  expect(after.length).toBe(before.length);
});

test('names what has no gradient, and what is no score', async () => {
  await expect(gateModel(pictures('GlobalLpPool'), [{ weight: 'second', axis: 1 }])).rejects.toMatchObject({ code: 'E_UNSUPPORTED', message: expect.stringMatching(/GlobalLpPool/) as string });
  const flat = new Model();
  flat.opsetImports.set('', 18);
  const b = new GraphBuilder(flat.graph);
  b.output(b.op('MatMul', [b.input('x', tensorType('float32', ['n', 4])), b.initializer('w', denseOf('float32', [4, 1], numbers(4)))]), 'y', tensorType('float32', ['n', 1]));
  await expect(gateModel(flat, [{ weight: 'w', axis: 0 }])).rejects.toThrow(/scores of classes/);
  expect(() => structuredPrune({ structure: 'ffn', ratio: 0.5, method: 'taylor' })).toThrow(/gateModel/);
});
