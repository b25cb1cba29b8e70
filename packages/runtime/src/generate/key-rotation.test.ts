/** Rotations of keys, as graphs have them. */
import { join } from 'node:path';
import { GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { convertHuggingFace, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { expect, test } from 'vitest';
import { packedDecoder } from '../testing/packed-decoder.js';
import { generationForm } from './generation-form.js';
import { keyRotation, partnerOf } from './key-rotation.js';

test.each([
  [{}, { width: 32, interleaved: false }],
  [{ interleaved: 1 }, { width: 32, interleaved: true }],
  [{ pairs: 4 }, { width: 8, interleaved: false }],
])('the operator rotates: %o', async (options, rotation) => {
  const { form } = await generationForm(packedDecoder(options), { int8Cache: true });
  expect(form.layers[0]!.rotation).toEqual(rotation);
});

const decoders = join(import.meta.dirname, '..', '..', '..', '..', 'tests', 'fixtures', 'decoders');
const half = (width: number): object => ({ width, interleaved: false });

test.each([
  ['qwen3', [half(16), half(16)]],
  ['gpt-neox', [half(4), half(4)]],
  ['cohere2', [...new Array<object>(3).fill({ width: 8, interleaved: true }), undefined]],
  ['smollm3', [half(8), undefined, half(8)]],
  ['phi3-longrope', [half(8), half(8)]],
  ['gpt2', [undefined, undefined]],
])('%s, converted', async (name, rotations) => {
  for (const dtype of ['float32', 'float16'] as const) {
    const model = await convertHuggingFace(await openHuggingFaceFolder(openFolder(join(decoders, name))), { attention: 'gqa', dtype });
    const { form } = await generationForm(model, { int8Cache: true });
    expect(form.layers.map(({ rotation }) => rotation)).toEqual(rotations);
  }
});

test('channels turn into each other', () => {
  expect([0, 1, 3, 4, 7, 8].map((channel) => partnerOf(channel, { width: 8, interleaved: false }))).toEqual([4, 5, 7, 0, 3, 8]);
  expect([0, 1, 6, 7, 8].map((channel) => partnerOf(channel, { width: 8, interleaved: true }))).toEqual([1, 0, 7, 6, 8]);
  expect(partnerOf(5, undefined)).toBe(5);
});

/** Keys (1, seq, 2 · 16) as `keysOf` makes them of a product. */
function attention(keysOf: (b: GraphBuilder, product: Value, ids: Value) => Value): ReturnType<typeof keyRotation> {
  const model = new Model();
  model.opsetImports.set('', 17).set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, ...shape: number[]): Value => b.input(name, tensorType('float32', shape));
  const product = b.op('MatMul', [b.input('x', tensorType('float32', [1, 'seq', 8])), weight('w', 8, 32)]);
  const keys = keysOf(b, product, b.input('position_ids', tensorType('int64', [1, 'seq'])));
  const [out] = b.nodes('GroupQueryAttention', [product, keys, product], { num_heads: 2, kv_num_heads: 2 }, { domain: 'com.microsoft', outputCount: 3 });
  return keyRotation(out!.producer!, 16);
}

const constant = (b: GraphBuilder, ...values: number[]): Value => b.constant('float32', values);
const rotary = (b: GraphBuilder, x: Value, ids: Value, attributes: Record<string, number> = {}): Value => b.op('RotaryEmbedding', [x, ids, b.input('cos', tensorType('float32', [9, 8])), b.input('sin', tensorType('float32', [9, 8]))], attributes, { domain: 'com.microsoft' });

test.each<[string, Parameters<typeof attention>[0], ReturnType<typeof keyRotation>]>([
  ['an operator before it', (b, x, ids) => rotary(b, x, ids), { width: 16, interleaved: false }],
  ['part of a head, interleaved, and cast', (b, x, ids) => b.op('Cast', [rotary(b, x, ids, { num_heads: 2, rotary_embedding_dim: 4, interleaved: 1 })], { to: 1 }), { width: 4, interleaved: true }],
  ['nothing', (_, x) => x, undefined],
  ['a bias and another shape', (b, x) => b.op('Reshape', [b.op('Add', [x, constant(b, 1)]), b.op('Shape', [x])]), undefined],
])('keys that are made by %s', (_, keysOf, rotation) => expect(attention(keysOf)).toEqual(rotation));

test.each<[string, Parameters<typeof attention>[0]]>([
  ['written out', (b, x, ids) => b.op('Mul', [x, b.op('Cos', [b.op('Unsqueeze', [b.op('Cast', [ids], { to: 1 }), b.constant('int64', [-1])])])])],
  ['scaled by channel after they were rotated', (b, x, ids) => b.op('Mul', [rotary(b, x, ids), b.constant('float32', Array.from({ length: 32 }, (_, i) => i))])],
  ['mixed by a product after they were rotated', (b, x, ids) => b.op('MatMul', [rotary(b, x, ids), b.input('mix', tensorType('float32', [32, 32]))])],
  ['shifted by a number of each place', (b, x, ids) => b.op('Add', [x, b.op('Unsqueeze', [b.op('Cast', [ids], { to: 1 }), b.constant('int64', [-1])])])],
])('keys that are %s are refused', (_, keysOf) => expect(() => attention(keysOf)).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED', hint: expect.any(String) as string })));
