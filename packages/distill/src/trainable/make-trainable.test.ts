/** Every decomposition against the fused operator in the reference engine, and what is refused. */
import { assertSound, attribute, type AttributeInput, cloneModel, createRng, denseOf, DenseTensor, type Feeds, GraphBuilder, Model, type Shape, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { expect, test } from 'vitest';
import { decompositions } from './decompositions.js';
import { makeTrainable } from './make-trainable.js';

interface Case {
  readonly name: string;
  /** float32 inputs x0, x1, …, uniform in [-1, 1). */
  readonly inputs: readonly Shape[];
  readonly build: (b: GraphBuilder, inputs: readonly Value[]) => readonly Value[];
}

const CONTRIB = { domain: 'com.microsoft' };

/** An operator of com.microsoft on all inputs, in order. */
const op = (opType: string, inputs: readonly Shape[], attributes: Readonly<Record<string, AttributeInput>> = {}, label = ''): Case => ({
  name: `com.microsoft.${opType} ${label}`.trim(), inputs, build: (b, values) => [b.op(opType, values, attributes, CONTRIB)],
});

const lengths = (b: GraphBuilder, values: readonly number[]): Value => b.constant('int32', values);
const tables = (b: GraphBuilder): Value[] => [Math.cos, Math.sin].map((wave) => b.constant('float32', Array.from({ length: 16 }, (_, i) => wave((i >> 1) * (i % 2 ? 0.3 : 1.1))), [8, 2]));

/** (2, 5) tokens, 4 heads of 4, 2 of keys and values. */
const grouped = (name: string, attributes: Readonly<Record<string, AttributeInput>>, more: (b: GraphBuilder) => readonly (Value | null)[] = () => [], last: readonly number[] = [4, 4]): Case => ({
  name: `com.microsoft.GroupQueryAttention ${name}`, inputs: [[2, 5, 16], [2, 5, 8], [2, 5, 8]],
  build: (b, [q, k, v]) => [b.nodes('GroupQueryAttention', [q, k, v, null, null, lengths(b, last), b.constant('int32', 5), ...more(b)], { num_heads: 4, kv_num_heads: 2, ...attributes }, { ...CONTRIB, outputCount: 3 })[0]!],
});

const multiHead = (name: string, attributes: Readonly<Record<string, AttributeInput>>, more: (b: GraphBuilder, bias: Value) => readonly (Value | null)[]): Case => ({
  name: `com.microsoft.MultiHeadAttention ${name}`, inputs: [[2, 3, 8], [2, 5, 8], [2, 5, 8], [24]],
  build: (b, [q, k, v, bias]) => [b.op('MultiHeadAttention', [q, k, v, ...more(b, bias!)], { num_heads: 2, ...attributes }, CONTRIB)],
});

const cases: readonly Case[] = [
  grouped('', {}), grouped('with a scale, a window and a cap', { scale: attribute.float(0.3), local_window_size: 2, softcap: attribute.float(1.5) }),
  grouped('rotated', { do_rotary: 1 }, tables), grouped('rotated by places', { do_rotary: 1, rotary_interleaved: 1 }, (b) => [...tables(b), b.constant('int64', [0, 0, 1, 2, 3, 0, 1, 2, 3, 4], [2, 5])]),
  grouped('with a bias', {}, (b) => [null, null, null, b.constant('float32', Array.from({ length: 50 }, (_, i) => Math.sin(i)), [2, 1, 5, 5])]),
  grouped('with sinks', {}, (b) => [null, null, null, null, b.constant('float32', [0.1, -2, 1, 0.5])]), grouped('smooth', { smooth_softmax: 1 }),
  grouped('looking ahead, to the end of each row', { causal: 0 }, () => [], [4, 2]),
  { name: 'com.microsoft.GroupQueryAttention packed', inputs: [[2, 5, 32]], build: (b, [q]) => b.nodes('GroupQueryAttention', [q, null, null, null, null, lengths(b, [4, 4]), b.constant('int32', 5)], { num_heads: 4, kv_num_heads: 2 }, { ...CONTRIB, outputCount: 3 }) },
  multiHead('', {}, () => []), multiHead('with a bias of projections', { scale: attribute.float(0.7) }, (_, bias) => [bias]),
  multiHead('with padding', {}, (b) => [null, b.constant('int32', [1, 1, 1, 0, 0, 1, 1, 1, 1, 1], [2, 5])]),
  multiHead('with a bias of scores', { mask_filter_value: attribute.float(-500) }, (b) => [null, b.constant('int32', [1, 1, 1, 0, 0, 1, 1, 1, 1, 1], [2, 5]), b.constant('float32', Array.from({ length: 15 }, (_, i) => Math.sin(i)), [1, 1, 3, 5])]),
  { name: 'com.microsoft.MultiHeadAttention of heads', inputs: [[2, 3, 8], [2, 2, 5, 4], [2, 2, 5, 4]], build: (b, values) => [b.op('MultiHeadAttention', values, { num_heads: 2 }, CONTRIB)] },
  op('Attention', [[2, 3, 6], [6, 24], [24]], { num_heads: 2 }), op('Attention', [[2, 3, 6], [6, 20], [20]], { num_heads: 2, qkv_hidden_sizes: [8, 8, 4], unidirectional: 1 }, 'causal, of other sizes'),
  { name: 'Attention', inputs: [[2, 4, 3, 4], [2, 2, 5, 4], [2, 2, 5, 6]], build: (b, values) => [b.op('Attention', values, { softcap: attribute.float(2) })] },
  { name: 'Attention, flat and causal', inputs: [[2, 3, 16], [2, 3, 8], [2, 3, 8], [3, 3]], build: (b, values) => b.nodes('Attention', values, { q_num_heads: 4, kv_num_heads: 2, is_causal: 1 }, { outputCount: 3 }) },
  { name: 'Attention with a mask', inputs: [[2, 4, 3, 4], [2, 4, 3, 4], [2, 4, 3, 4]], build: (b, values) => [b.op('Attention', [...values, b.constant('bool', [1, 0, 1, 1, 1, 0, 0, 1, 1], [3, 3])])] },
  op('SkipLayerNormalization', [[2, 3, 4], [2, 3, 4], [4], [4], [4]], { epsilon: attribute.float(1e-5) }),
  { name: 'com.microsoft.SkipLayerNormalization and its sum', inputs: [[2, 3, 4], [2, 3, 4], [4]], build: (b, values) => {
    const [y, , , sum] = b.nodes('SkipLayerNormalization', values, {}, { ...CONTRIB, outputs: ['y', '', '', 'sum'] });
    return [y!, sum!];
  } },
  op('SkipSimplifiedLayerNormalization', [[2, 3, 4], [2, 3, 4], [4], [4]], { epsilon: attribute.float(1e-5) }),
  { name: 'com.microsoft.EmbedLayerNormalization', inputs: [[7, 4], [5, 4], [2, 4], [4], [4]], build: (b, [word, position, segment, gamma, beta]) => b.nodes('EmbedLayerNormalization', [
    b.constant('int32', [1, 6, 0, 3, 3, 2], [2, 3]), b.constant('int32', [0, 0, 1, 1, 0, 1], [2, 3]), word, position, segment, gamma, beta, b.constant('int32', [1, 1, 0, 1, 1, 1], [2, 3]),
  ], {}, { ...CONTRIB, outputCount: 2 }) },
  op('BiasGelu', [[2, 3], [3]]), op('BiasAdd', [[2, 5, 3], [3], [2, 5, 3]]),
  { name: 'SwiGLU', inputs: [[2, 3], [2, 3]], build: (b, values) => [b.op('SwiGLU', values, { alpha: attribute.float(1.5) })] },
  op('FusedConv', [[1, 2, 5, 5], [3, 2, 3, 3], [3], [1, 3, 5, 5]], { pads: [1, 1, 1, 1], activation: 'Relu' }),
  op('FusedConv', [[1, 2, 5, 5], [3, 2, 3, 3]], { activation: 'Clip', activation_params: attribute.floats([-0.2, 0.5]) }, 'clipped'),
  op('FusedGemm', [[2, 3], [4, 3], [4]], { transB: 1, activation: 'LeakyRelu', activation_alpha: attribute.float(0.2) }), op('FusedGemm', [[2, 3], [3, 4]], { activation: 'HardSigmoid' }, 'hard'),
  op('FusedGemm', [[2, 3], [3, 4]], { activation: 'Sigmoid' }, 'sigmoid'), op('FusedGemm', [[2, 3], [3, 4]], { activation: 'Tanh' }, 'tanh'),
];

function network({ inputs, build }: Case): { model: Model; feeds: Feeds } {
  const model = new Model();
  model.opsetImports.set('', 28);
  model.opsetImports.set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  const rng = createRng(3);
  const feeds = inputs.map((shape, i) => [`x${i}`, DenseTensor.of('float32', shape, Float32Array.from({ length: shape.reduce((a, c) => a * c, 1) }, () => 2 * rng.uniform() - 1))] as const);
  const outputs = build(b, inputs.map((shape, i) => b.input(`x${i}`, tensorType('float32', shape))));
  outputs.forEach((value, i) => b.output(value, `out${i}`));
  return { model, feeds: Object.fromEntries(feeds) };
}

const engine = referenceEngine();

test.each(cases.map((item) => [item.name, item] as const))('%s', async (_, item) => {
  const { model, feeds } = network(item);
  const run = async (of: Model): Promise<Record<string, DenseTensor>> => {
    await using executor = await engine.load(of);
    return (await executor.run(feeds)) as Record<string, DenseTensor>;
  };
  const wanted = await run(model);
  const { model: trainable, decomposed, missing } = await makeTrainable(cloneModel(model));
  assertSound(trainable);
  expect([missing, Object.values(decomposed)]).toEqual([[], [1]]);
  const got = await run(trainable);
  expect(Object.keys(got)).toEqual(Object.keys(wanted));
  for (const [name, { data, shape }] of Object.entries(wanted)) {
    expect(got[name]!.shape).toEqual(shape);
    const found = [...got[name]!.data].map(Number);
    expect(Math.max(...[...data].map((value, i) => Math.abs(Number(value) - found[i]!)))).toBeLessThan(1e-5);
  }
});

test('no decomposition is without a case', () => {
  const tried = new Set(cases.map(({ name }) => name.split(/[ ,]/)[0]!));
  expect(Object.keys(decompositions).filter((name) => !tried.has(name))).toEqual([]);
});

test('what is fused in an unknown way stays and is named, and so is what no rule knows', async () => {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const product = b.op('FusedGemm', [b.input('x', tensorType('float32', [2, 3])), b.initializer('w', denseOf('float32', [3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]))], { activation: 'Softsign' }, CONTRIB);
  b.output(b.op('Det', [b.op('Reshape', [b.op('Gather', [product, b.constant('int64', [0, 1, 1])]), b.constant('int64', [3, 3])])]), 'y');
  expect((await makeTrainable(model)).missing).toEqual(['Det', 'com.microsoft.FusedGemm']);
});

test('half precision and caches that are read in other ways are refused', async () => {
  const half = new Model();
  half.graph.addInitializer('w', new DenseTensor('float16', [1], new Uint8Array(2)));
  await expect(makeTrainable(half)).rejects.toMatchObject({ code: 'E_DTYPE' });
  const cached = new Model();
  cached.opsetImports.set('', 21);
  const b = new GraphBuilder(cached.graph);
  b.output(b.op('Relu', [b.input('past_key_values.0.key', tensorType('float32', ['n', 2, 'p', 4]))]), 'y');
  await expect(makeTrainable(cached)).rejects.toMatchObject({ code: 'E_UNSUPPORTED', message: expect.stringContaining('past_key_values.0.key') as string });
});
