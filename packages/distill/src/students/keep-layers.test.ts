/** Students of a few layers compute what their teacher computes without the others. */
import { assertSound, createRng, type DenseTensor, denseOf, type Feeds, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { expect, test } from 'vitest';
import { keepLayers } from './keep-layers.js';

/** Layers of attention with a cache and a feed-forward part each; `strength` 0 makes a layer do nothing. */
function decoder(strengths: readonly number[]): Model {
  const rng = createRng(3);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number): Value => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => rng.normal() / 4)));
  let x = b.op('MatMul', [b.input('x', tensorType('float32', ['n', 't', 8])), weight('stem', 8, 8)]);
  strengths.forEach((strength, i) => {
    const past = b.input(`past_key_values.${i}.key`, tensorType('float32', ['n', 'p', 8]));
    const keys = b.op('Concat', [past, b.op('MatMul', [x, weight(`layers.${i}.k`, 8, 8)])], { axis: 1 });
    b.output(b.op('Identity', [keys]), `present.${i}.key`, tensorType('float32', ['n', 'all', 8]));
    const scores = b.op('Softmax', [b.op('MatMul', [b.op('MatMul', [x, weight(`layers.${i}.q`, 8, 8)]), b.op('Transpose', [keys], { perm: [0, 2, 1] })])], { axis: -1 });
    const part = (y: Value): Value => b.op('Add', [x, b.op('Mul', [y, b.constant('float32', strength)])]);
    x = part(b.op('MatMul', [b.op('MatMul', [scores, keys]), weight(`layers.${i}.o`, 8, 8)]));
    x = part(b.op('MatMul', [b.op('Relu', [b.op('MatMul', [x, weight(`layers.${i}.up`, 8, 16)])]), weight(`layers.${i}.down`, 16, 8)]));
  });
  b.output(b.op('MatMul', [x, weight('head', 8, 5)]), 'logits', tensorType('float32', ['n', 't', 5]));
  return model;
}

async function logits(model: Model, feeds: Feeds): Promise<number[]> {
  await using executor = await referenceEngine().load(model);
  return [...((await executor.run(feeds))['logits'] as DenseTensor).data] as number[];
}

const x = denseOf('float32', [1, 3, 8], Array.from({ length: 24 }, (_, i) => Math.sin(i)));
const pasts = (of: number): Feeds => Object.fromEntries(Array.from({ length: of }, (_, i) => [`past_key_values.${i}.key`, denseOf('float32', [1, 0, 8], [])]));

test('layers that do nothing can go, and caches are numbered anew', async () => {
  const wanted = await logits(decoder([1, 0, 1, 0]), { x, ...pasts(4) });
  const { model, records, sizes } = await keepLayers({ keep: '4:0,2' }).run(decoder([1, 0, 1, 0]), {});
  assertSound(model);
  expect(await logits(model, { x, ...pasts(2) })).toEqual(wanted);
  expect(model.graph.inputs.map(({ name }) => name)).toEqual(['x', 'past_key_values.0.key', 'past_key_values.1.key']);
  expect(model.graph.outputs.map(({ name }) => name)).toEqual(['present.0.key', 'present.1.key', 'logits']);
  expect(sizes).toEqual({ layers: { before: 4, after: 2, kept: [0, 2] } });
  expect(records.map(({ name }) => name).sort()).toEqual([1, 3].flatMap((i) => ['down', 'k', 'o', 'q', 'up'].map((part) => `layers.${i}.${part}`)));
  expect([...model.graph.initializers.keys()].some((name) => /^layers\.[13]/.test(name))).toBe(false);
});

test('half of them evenly, when nothing else is said', async () => {
  const { sizes } = await keepLayers().run(decoder([1, 1, 1, 1]), {});
  expect(sizes?.layers?.kept).toEqual([0, 3]);
});

test('a model without layers, and a map that keeps all of them, are refused', async () => {
  await expect(keepLayers({ keep: [0, 1] }).run(decoder([1, 1]), {})).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
  await expect(keepLayers({ keep: [2] }).run(decoder([1, 1]), {})).rejects.toMatchObject({ code: 'E_OPTION' });
  const model = new Model();
  const b = new GraphBuilder(model.graph);
  b.output(b.op('Relu', [b.input('x', tensorType('float32', [2]))]), 'y');
  await expect(keepLayers().run(model, {})).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
});
