/** Factors before the projection behind an attention go into that of its values, where channels stay channels. */
import { attribute, check, createRng, type DenseTensor, denseOf, type Feeds, GraphBuilder, inlineJobs, Model, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { expect, test } from 'vitest';
import { awqWeights } from './awq/awq-weights.js';
import { smoothActivations } from './smooth/smooth-activations.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const [WIDTH, HEADS, TOKENS] = [32, 4, 10];

/** Normalised attention with some channels of its values much larger than others; `groups`: as many heads of values as that, repeated. */
function network({ bias = true, groups = HEADS, read = false }: { readonly bias?: boolean; readonly groups?: number; readonly read?: boolean } = {}): Model {
  const rng = createRng(11);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const each = WIDTH / HEADS;
  const tensor = (name: string, rows: number, cols: number, scale = (_: number) => 1): Value => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, (_, i) => (rng.normal() / Math.sqrt(rows)) * scale(i % cols))));
  const vector = (name: string, size: number): Value => b.initializer(name, denseOf('float32', [size], Array.from({ length: size }, () => rng.normal())));
  const shape = (...dims: number[]): Value => b.constant('int64', dims);
  const swap = { perm: attribute.ints([0, 2, 1, 3]) };
  const x = b.op('LayerNormalization', [b.op('MatMul', [b.input('x', tensorType('float32', [1, TOKENS, WIDTH])), tensor('first', WIDTH, WIDTH)]), vector('gain', WIDTH), vector('shift', WIDTH)], { axis: -1 });
  const heads = (name: string, count: number, scale?: (col: number) => number): Value => {
    let y = b.op('MatMul', [x, tensor(name, WIDTH, count * each, scale)]);
    if (bias) y = b.op('Add', [y, vector(`${name}.bias`, count * each)]);
    if (read && name === 'v') b.output(b.op('Identity', [y]), 'values');
    return b.op('Transpose', [b.op('Reshape', [y, shape(1, TOKENS, count, each)])], swap);
  };
  const scores = b.op('MatMul', [heads('q', HEADS), b.op('Transpose', [heads('k', HEADS)], { perm: attribute.ints([0, 1, 3, 2]) })]);
  let values = heads('v', groups, (col) => (col % 7 === 3 ? 30 : 1));
  if (groups < HEADS) values = b.op('Reshape', [b.op('Tile', [b.op('Unsqueeze', [values, shape(2)]), shape(1, 1, HEADS / groups, 1, 1)]), shape(1, HEADS, TOKENS, each)]);
  const mixed = b.op('Transpose', [b.op('MatMul', [b.op('Softmax', [scores]), values])], swap);
  // as in every transformer: what goes past the attention keeps it in one block
  b.output(b.op('Add', [x, b.op('MatMul', [b.op('Reshape', [mixed, shape(1, TOKENS, WIDTH)]), tensor('o', WIDTH, WIDTH)])]), 'y');
  return model;
}

const sample = (seed: number): Feeds => {
  const rng = createRng(seed);
  return { x: denseOf('float32', [1, TOKENS, WIDTH], Array.from({ length: TOKENS * WIDTH }, () => rng.normal())) };
};

async function outputOf(model: Model): Promise<Float32Array> {
  await using executor = await engine.load(model);
  return ((await executor.run(sample(9))).y as DenseTensor).data as Float32Array;
}

async function share(model: Model, original: Model): Promise<number> {
  const [got, wanted] = [await outputOf(model), await outputOf(original)];
  return got.reduce((sum, value, i) => sum + (value - wanted[i]!) ** 2, 0) / wanted.reduce((sum, value) => sum + value ** 2, 0);
}

const context = { jobs, samples: [sample(1), sample(2), sample(3)] };
const options = { bits: 8, blockSize: 16, accuracyLevel: 1 } as const;

test.each([true, false])('AWQ folds them, bias %s: no Mul comes before it, and the outputs stay', async (bias) => {
  const { model, records } = await awqWeights(options).run(network({ bias }), context);
  expect(check(model)).toEqual([]);
  expect(records.find(({ name }) => name === 'o')!.note).toMatch(/^α 0\.\d+; factors in (?!a Mul)/);
  const product = [...model.graph.nodes()].find((node) => node.input(1)?.name.startsWith('o.'))!;
  expect([product.opType, product.input(0)!.producer!.opType]).toEqual(['MatMulNBits', 'Reshape']);
  // 8 bits hold almost everything: factors in the wrong place would not
  expect(await share(model, network({ bias }))).toBeLessThan(1e-3);
});

test.each([{ groups: 2 }, { read: true }])('a Mul takes them where channels are repeated, or something else reads the values: %j', async (form) => {
  const { model, records } = await awqWeights(options).run(network(form), context);
  expect(records.find(({ name }) => name === 'o')!.note).toMatch(/factors in a Mul before it/);
  expect(await share(model, network(form))).toBeLessThan(1e-3);
});

test('SmoothQuant finds the place too', async () => {
  const { model, records } = await smoothActivations().run(network(), context);
  const record = records.find(({ name }) => name === 'o')!;
  expect(record.method).toBe('smooth α 0.5');
  expect(await share(model, network())).toBeLessThan(1e-9);
});
