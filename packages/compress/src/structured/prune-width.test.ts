/** Narrower models: hidden features go everywhere at once, and what is left is what the norms see. */
import { assertSound, cloneModel, createRng, type DenseTensor, denseOf, GraphBuilder, inferShapes, inlineJobs, Model, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { expect, test } from 'vitest';
import { pruneWidth } from './prune-width.js';
import { structuredPrune } from './structured-prune.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const [WORDS, WIDTH, INNER] = [11, 8, 12];

/** input_ids (n, t) → logits (n, t, words): a table, a feed-forward block between norms, and the table again as the head. */
function languageModel(norm: 'SimplifiedLayerNormalization' | 'LayerNormalization', output = 'logits'): Model {
  const rng = createRng(4);
  const model = new Model();
  model.irVersion = 10;
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, ...shape: number[]): Value => b.initializer(name, denseOf('float32', shape, Array.from({ length: shape.reduce((a, c) => a * c, 1) }, () => rng.normal() / 2)));
  const normed = (x: Value, name: string): Value => b.op(norm, [x, weight(`${name}.weight`, WIDTH), ...(norm === 'LayerNormalization' ? [weight(`${name}.bias`, WIDTH)] : [])], { epsilon: 1e-12, axis: -1 });
  const table = weight('table', WORDS, WIDTH);
  const x = b.op('Gather', [table, b.input('input_ids', tensorType('int64', ['n', 't']))]);
  const y = normed(x, 'norm1');
  const inner = b.op('Mul', [b.op('Sigmoid', [b.op('MatMul', [y, weight('gate', WIDTH, INNER)])]), b.op('MatMul', [y, weight('up', WIDTH, INNER)])]);
  const last = normed(b.op('Add', [x, b.op('MatMul', [inner, weight('down', INNER, WIDTH)])]), 'norm2');
  if (output === 'logits') b.output(b.op('MatMul', [last, b.op('Transpose', [table], { perm: [1, 0] })]), 'logits', tensorType('float32', ['n', 't', WORDS]));
  else b.output(b.op('Identity', [last]), output, tensorType('float32', ['n', 't', WIDTH]));
  return model;
}

const ids = { input_ids: denseOf('int64', [2, 3], [1, 4, 2, 9, 0, 7]) };
async function run(model: Model, output = 'logits'): Promise<Float32Array> {
  await using executor = await engine.load(model);
  return ((await executor.run(ids))[output] as DenseTensor).data as Float32Array;
}

test('a model without some hidden features computes what it does with zeros there, seen by norms of as many as are left', async () => {
  const model = languageModel('SimplifiedLayerNormalization');
  const zeroed = cloneModel(model);
  const { model: narrow, records, sizes } = await structuredPrune({ structure: 'hidden', size: 6 }).run(model, { jobs });
  inferShapes(narrow);
  assertSound(narrow);
  expect(sizes).toEqual({ hidden: { before: 8, after: 6 } });
  expect(records.map(({ name }) => name).sort()).toEqual(['down', 'gate', 'norm1.weight', 'norm2.weight', 'table', 'up']);
  const table = narrow.graph.initializers.get('table')!.tensor!;
  expect(table.shape).toEqual([WORDS, 6]);
  // which columns stayed
  const before = (zeroed.graph.initializers.get('table')!.tensor as DenseTensor).data as Float32Array;
  const after = new Float32Array((await table.load()).slice().buffer);
  const kept = Array.from({ length: 6 }, (_, i) => Array.from({ length: WIDTH }, (__, k) => k).find((k) => before[k] === after[i])!);
  for (const [name, axis] of [['table', 1], ['down', 1], ['norm1.weight', 0], ['norm2.weight', 0]] as const) {
    const value = zeroed.graph.initializers.get(name)!;
    const { shape, data } = value.tensor as DenseTensor;
    // √(kept / all): zeros make the mean square smaller, and with it what norms divide by
    value.tensor = denseOf('float32', shape, Array.from(data as Float32Array, (number, at) => (kept.includes(at % shape[axis]!) ? number * (name.startsWith('norm') ? Math.sqrt(6 / 8) : 1) : 0)));
  }
  const [got, wanted] = [await run(narrow), await run(zeroed)];
  expect(got).toHaveLength(2 * 3 * WORDS);
  wanted.forEach((value, i) => expect(got[i]).toBeCloseTo(value, 4));
});

test('what the model reads decides which features stay, and embeddings that come out of it are narrower', async () => {
  const model = languageModel('LayerNormalization', 'last_hidden_state');
  // two features that nothing but norms reads
  for (const name of ['gate', 'up']) {
    const value = model.graph.initializers.get(name)!;
    value.tensor = denseOf('float32', [WIDTH, INNER], Array.from((value.tensor as DenseTensor).data as Float32Array, (number, at) => ([2, 5].includes(Math.floor(at / INNER)) ? 0 : number)));
  }
  const gate = (model.graph.initializers.get('gate')!.tensor as DenseTensor).data as Float32Array;
  const { model: narrow } = await structuredPrune({ structure: 'hidden', ratio: 0.25, method: 'activation' }).run(model, { jobs, samples: [ids] });
  assertSound(narrow);
  expect(narrow.graph.outputs[0]!.type).toMatchObject({ shape: ['n', 't', 6] });
  expect(await run(narrow, 'last_hidden_state')).toHaveLength(2 * 3 * 6);
  const stayed = new Float32Array((await narrow.graph.initializers.get('gate')!.tensor!.load()).slice().buffer);
  expect([...stayed]).toEqual([...gate].filter((_, at) => ![2, 5].includes(Math.floor(at / INNER))));
});

test('a width is all of it at once, and what a model does not have is left out', async () => {
  const { model, sizes } = await pruneWidth({ ratio: 0.5, method: 'activation' }).run(languageModel('SimplifiedLayerNormalization'), { jobs, samples: [ids] });
  assertSound(model);
  expect(sizes).toEqual({ ffn: { before: 12, after: 6 }, hidden: { before: 8, after: 4 } });
  expect(model.graph.initializers.get('up')!.tensor!.shape).toEqual([4, 6]);
  expect(await run(model)).toHaveLength(2 * 3 * WORDS);
});

test('what cannot be is refused by name', async () => {
  expect(() => structuredPrune({ structure: 'hidden', ratio: 0.5, method: 'obs' })).toThrow(/not made up for/);
  expect(() => structuredPrune({ structure: 'hidden' })).toThrow(/ratio or a size/);
  expect(() => structuredPrune({ structure: 'ffn', ratio: 0.5, size: 3 })).toThrow(/ratio or a size/);
  expect(() => structuredPrune({ structure: 'ffn', size: 0 })).toThrow(/size of 0/);
  await expect(structuredPrune({ structure: 'hidden', size: 9 }).run(languageModel('LayerNormalization'), { jobs })).rejects.toThrow(/9 of 8 hidden/);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  b.output(b.op('Relu', [b.input('x', tensorType('float32', [2, 3]))]), 'y', tensorType('float32', [2, 3]));
  await expect(pruneWidth({ ratio: 0.5 }).run(model, { jobs })).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
});
