/** Structured pruning on the reference engine: a graph that was cut computes what it computes with zeros in place of what went. */
import { assertSound, attribute, type AttributeInput, cloneModel, createRng, type DenseTensor, denseOf, type Feeds, GraphBuilder, inferShapes, inlineJobs, Model, type PassContext, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { cut, Kept } from './cut.js';
import type { UnitKind } from './dimensions.js';
import { planUnits } from './plan-units.js';
import { structuredPrune } from './structured-prune.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });

interface Network {
  readonly model: Model;
  readonly sample: (seed: number) => Feeds;
}

type Build = (b: GraphBuilder, weight: (name: string, ...shape: number[]) => Value) => void;

function modelOf(build: Build, seed = 3): Model {
  const model = new Model();
  model.irVersion = 10;
  model.opsetImports.set('', 21);
  model.opsetImports.set('com.microsoft', 1);
  const rng = createRng(seed);
  const b = new GraphBuilder(model.graph);
  build(b, (name, ...shape) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return b.initializer(name, denseOf('float32', shape, Array.from({ length: count }, () => (rng.normal() / Math.sqrt(count / shape[0]!)) * (shape.length > 1 ? 1 : 0.3))));
  });
  return model;
}

const floatsOf = (shape: readonly number[], seed: number): DenseTensor => {
  const rng = createRng(seed);
  return denseOf('float32', shape, Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => rng.normal()));
};

/** Convolutions with norms, a residual sum, a join, a depthwise one, and a classifier behind the pixels; a branch of If at the end. */
const convolutional = (): Network => ({
  sample: (seed) => ({ x: floatsOf([2, 3, 8, 8], seed), condition: denseOf('bool', [], [seed % 2]) }),
  model: modelOf((b, weight) => {
    const x = b.input('x', tensorType('float32', ['n', 3, 8, 8]));
    const conv = (input: Value, name: string, from: number, to: number, more: Record<string, AttributeInput> = {}): Value => b.op('Conv', [input, weight(name, to, from, 3, 3), weight(`${name}.bias`, to)], { pads: [1, 1, 1, 1], ...more });
    const norm = (input: Value, name: string, channels: number): Value => {
      const positive = b.initializer(`${name}.var`, denseOf('float32', [channels], Array.from({ length: channels }, (_, i) => 1 + i / channels)));
      return b.op('BatchNormalization', [input, weight(`${name}.scale`, channels), weight(`${name}.shift`, channels), weight(`${name}.mean`, channels), positive]);
    };
    const stem = b.op('Relu', [norm(conv(x, 'stem', 3, 8), 'norm0', 8)]);
    const inner = b.op('Relu', [conv(stem, 'inner', 8, 12)]);
    const sum = b.op('Add', [stem, conv(inner, 'back', 12, 8)]);
    const deep = b.op('LeakyRelu', [b.op('Conv', [sum, weight('depthwise', 8, 1, 3, 3)], { group: 8, pads: [1, 1, 1, 1] })]);
    const joined = b.op('Concat', [deep, conv(sum, 'beside', 8, 6)], { axis: 1 });
    const pooled = b.op('MaxPool', [joined], { kernel_shape: [2, 2], strides: [2, 2] });
    const flat = b.op('Reshape', [pooled, b.constant('int64', [0, 224])]);
    const hidden = b.op('Relu', [b.op('Gemm', [flat, weight('first', 20, 224), weight('first.bias', 20)], { transB: 1 })]);
    const last = weight('last', 20, 5);
    const branch = (name: string) => b.subgraph(name, () => [b.op(name === 'then' ? 'Identity' : 'Neg', [b.op('MatMul', [hidden, last])])]);
    b.output(b.op('If', [b.input('condition', tensorType('bool', []))], { then_branch: attribute.graph(branch('then')), else_branch: attribute.graph(branch('else')) }), 'y', tensorType('float32', ['n', 5]));
  }),
});

const WIDTH = 24;

/** A decoder layer with four query heads in two groups, its cache, and a gated feed-forward part. */
const decoder = (form: 'gqa' | 'standard'): Network => ({
  sample: (seed) => ({ x: floatsOf([1, 5, WIDTH], seed), 'past_key_values.0.key': floatsOf([1, 2, 3, 8], seed + 1), 'past_key_values.0.value': floatsOf([1, 2, 3, 8], seed + 2), ...(form === 'gqa' && { lengths: denseOf('int32', [1], [7]), total: denseOf('int32', [], [8]) }) }),
  model: modelOf((b, weight) => {
    const x = b.input('x', tensorType('float32', ['batch', 'rows', WIDTH]));
    const pastKey = b.input('past_key_values.0.key', tensorType('float32', ['batch', 2, 'past', 8]));
    const pastValue = b.input('past_key_values.0.value', tensorType('float32', ['batch', 2, 'past', 8]));
    const norm = (value: Value, name: string): Value => b.op('LayerNormalization', [value, weight(name, WIDTH)], { axis: -1 });
    const h = norm(x, 'norm');
    const [q, k, v] = [b.op('MatMul', [h, weight('q', WIDTH, 32)]), b.op('MatMul', [h, weight('k', WIDTH, 16)]), b.op('MatMul', [h, weight('v', WIDTH, 16)])];
    let attended: Value;
    if (form === 'gqa') {
      const [out, key, value] = b.nodes('GroupQueryAttention', [q, k, v, pastKey, pastValue, b.input('lengths', tensorType('int32', ['batch'])), b.input('total', tensorType('int32', []))], { num_heads: 4, kv_num_heads: 2 }, { domain: 'com.microsoft', outputs: ['', 'present.0.key', 'present.0.value'].map((name) => name || 'attended') });
      attended = out!;
      b.output(key!, 'present.0.key', tensorType('float32', ['batch', 2, 'total', 8]));
      b.output(value!, 'present.0.value', tensorType('float32', ['batch', 2, 'total', 8]));
    } else {
      const split = (value: Value, heads: number): Value => b.op('Transpose', [b.op('Reshape', [value, b.constant('int64', [0, -1, heads, 8])])], { perm: [0, 2, 1, 3] });
      const key = b.op('Concat', [pastKey, split(k, 2)], { axis: 2 }, { outputs: ['present.0.key'] });
      const value = b.op('Concat', [pastValue, split(v, 2)], { axis: 2 }, { outputs: ['present.0.value'] });
      const grouped = b.op('Reshape', [split(q, 4), b.constant('int64', [0, 2, -1, 8])]);
      const scores = b.op('MatMul', [grouped, b.op('Transpose', [key], { perm: [0, 1, 3, 2] })]);
      const mixed = b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), value]);
      const back = b.op('Reshape', [mixed, b.constant('int64', [0, 4, -1, 8])]);
      attended = b.op('Reshape', [b.op('Transpose', [back], { perm: [0, 2, 1, 3] }), b.constant('int64', [0, -1, 32])]);
      b.output(key, 'present.0.key', tensorType('float32', ['batch', 2, 'total', 8]));
      b.output(value, 'present.0.value', tensorType('float32', ['batch', 2, 'total', 8]));
    }
    const y = b.op('Add', [x, b.op('MatMul', [attended, weight('o', 32, WIDTH)])]);
    const z = norm(y, 'norm2');
    const gate = b.op('MatMul', [z, weight('gate', WIDTH, 40)]);
    const inner = b.op('Mul', [b.op('Mul', [gate, b.op('Sigmoid', [gate])]), b.op('MatMul', [z, weight('up', WIDTH, 40)])]);
    b.output(b.op('Add', [y, b.op('MatMul', [inner, weight('down', 40, WIDTH)])]), 'y', tensorType('float32', ['batch', 'rows', WIDTH]));
  }),
});

async function run(model: Model, feeds: Feeds, output = 'y'): Promise<Float32Array> {
  await using executor = await engine.load(model);
  return ((await executor.run(feeds, { outputs: [output] }))[output] as DenseTensor).data as Float32Array;
}

/** The caches lose the heads that went. */
function feedsFor(model: Model, feeds: Feeds, heads: readonly number[]): Feeds {
  const fitting: Record<string, DenseTensor> = {};
  for (const { name } of model.graph.inputs) {
    const tensor = feeds[name] as DenseTensor;
    fitting[name] = tensor;
    if (!name.startsWith('past') || heads.length === 2) continue;
    const [batch, , rows, size] = tensor.shape as [number, number, number, number];
    fitting[name] = denseOf('float32', [batch, heads.length, rows, size], heads.flatMap((head) => Array.from(tensor.data.slice(head * rows * size, (head + 1) * rows * size), Number)));
  }
  return fitting;
}

const cases: readonly [string, () => Network, UnitKind, readonly string[]][] = [
  ['convolutions', convolutional, 'channels', ['beside', 'inner', 'stem']],
  ['features behind convolutions', convolutional, 'ffn', ['first']],
  ['grouped heads, fused', () => decoder('gqa'), 'heads', ['q']],
  ['grouped heads, operator by operator', () => decoder('standard'), 'heads', ['q']],
  ['gated features', () => decoder('gqa'), 'ffn', ['gate']],
];

describe('dimensions', () => {
  test.each(cases)('%s: cut is the same as zero', async (_, make, kind, expected) => {
    const { model, sample } = make();
    const { groups, ints } = await planUnits(model);
    const found = groups.filter((group) => group.kind === kind);
    expect(found.map(({ name }) => name).sort()).toEqual(expected);
    const removed = found.flatMap(({ units }) => units.filter((_, i) => i % 3 === 1 || (units.length === 2 && i === 1)));
    const zeroed = cloneModel(model);
    for (const { parts } of removed) {
      for (const { value, axis, indices } of parts) {
        const twin = zeroed.graph.initializers.get(value.name);
        if (!twin?.tensor || !value.tensor) continue;
        const { shape, data } = twin.tensor as DenseTensor;
        const inner = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
        const gone = new Set(indices);
        twin.tensor = denseOf('float32', shape, Array.from(data as Float32Array, (number, at) => (gone.has(Math.floor(at / inner) % shape[axis]!) ? 0 : number)));
      }
    }
    const bytes = (which: Model): number => [...which.graph.initializers.values()].reduce((sum, { tensor }) => sum + (tensor!.dtype === 'float32' ? tensor!.byteLength : 0), 0);
    const before = bytes(model);
    cut(model, new Kept(removed), ints, new Map());
    inferShapes(model);
    assertSound(model);
    expect(bytes(model)).toBeLessThan(before);
    for (const seed of [5, 6]) {
      const got = await run(model, feedsFor(model, sample(seed), kind === 'heads' ? [0] : [0, 1]));
      const wanted = await run(zeroed, sample(seed));
      expect(got).toHaveLength(wanted.length);
      wanted.forEach((value, i) => expect(got[i]).toBeCloseTo(value, 4));
    }
  });

  test('names what stands in the way', async () => {
    const model = modelOf((b, weight) => {
      const h = b.op('MatMul', [b.input('x', tensorType('float32', ['n', 4])), weight('a', 4, 6)]);
      b.output(b.op('MatMul', [b.op('CumSum', [h, b.constant('int64', 1)], {}, { name: 'running' }), weight('b', 6, 3)]), 'y', tensorType('float32', ['n', 3]));
    });
    await expect(structuredPrune({ structure: 'ffn', ratio: 0.5 }).run(model, { jobs })).rejects.toThrow(/a: CumSum 'running' has no rule for its dimensions/);
    await expect(structuredPrune({ structure: 'heads', ratio: 0.5 }).run(decoder('gqa').model, {})).rejects.toMatchObject({ code: 'E_ENGINE' });
    await expect(structuredPrune({ structure: 'ffn', ratio: 0.5, method: 'obs' }).run(decoder('gqa').model, { jobs })).rejects.toMatchObject({ code: 'E_DATA' });
    await expect(structuredPrune({ structure: 'layers', ratio: 0.5 }).run(decoder('gqa').model, { jobs })).rejects.toMatchObject({ code: 'E_DATA' });
    expect(() => structuredPrune({ structure: 'ffn', ratio: 1 })).toThrow(/ratio of 1/);
    expect(() => structuredPrune({ structure: 'layers', ratio: 0.5, method: 'obs' })).toThrow(/layers are chosen/);
  });
});

describe('structuredPrune', () => {
  const context = ({ sample }: Network): PassContext => ({ jobs, samples: Array.from({ length: 24 }, (_, i) => sample(20 + i)) });
  const error = async (network: () => Network, model: Model, heads: readonly number[] = [0, 1]): Promise<number> => {
    let sum = 0;
    for (const seed of [91, 92]) {
      const { sample, model: original } = network();
      const wanted = await run(original, sample(seed));
      const got = await run(model, feedsFor(model, sample(seed), heads));
      got.forEach((value, i) => (sum += (value - wanted[i]!) ** 2));
    }
    return sum;
  };

  test.each([['channels', convolutional], ['ffn', () => decoder('gqa')]] as const)('%s: what is left makes up for what went', async (structure, make) => {
    const pruned = async (options: object) => structuredPrune({ structure, ratio: 0.3, ...options }).run(make().model, context(make()));
    const plain = await pruned({ method: 'activation' });
    const updated = await pruned({ method: 'activation', update: true });
    const obs = await pruned({ method: 'obs' });
    for (const { model, records } of [plain, updated, obs]) {
      assertSound(model);
      expect(records.length).toBeGreaterThan(1);
      for (const record of records) expect(record.bytesAfter).toBeLessThan(record.bytesBefore);
    }
    expect(updated.records.some(({ objective, note }) => objective! > 0 && /made up for/.test(note ?? ''))).toBe(true);
    // features of noise have little in common; channels have much
    const share = structure === 'channels' ? 0.7 : 0.95;
    expect(await error(make, updated.model)).toBeLessThan(share * (await error(make, plain.model)));
    expect(await error(make, obs.model)).toBeLessThan(share * (await error(make, plain.model)));
  });

  test('heads take their attributes, caches and sizes along', async () => {
    const { model, records, sizes } = await structuredPrune({ structure: 'heads', ratio: 0.5 }).run(decoder('gqa').model, { jobs });
    const attention = [...model.graph.nodes()].find(({ opType }) => opType === 'GroupQueryAttention')!;
    expect([attention.int('num_heads'), attention.int('kv_num_heads')]).toEqual([2, 1]);
    expect(model.graph.inputs.find(({ name }) => name === 'past_key_values.0.key')!.type).toMatchObject({ shape: ['batch', 1, 'past', 8] });
    expect(sizes).toEqual({ heads: { before: 2, after: 1 } });
    expect(records.map(({ name }) => name).sort()).toEqual(['k', 'o', 'q', 'v']);
  });

  test('weights that are not finite are named, and nothing that is no number comes out of the rest', async () => {
    const network = decoder('gqa');
    network.model.graph.initializers.get('up')!.tensor = denseOf('float32', [WIDTH, 40], new Array<number>(WIDTH * 40).fill(NaN));
    const { records } = await structuredPrune({ structure: 'ffn', ratio: 0.5, method: 'obs' }).run(network.model, context(network));
    expect(records.find(({ name }) => name === 'down')!.note).toMatch(/not updated: what it reads is not finite in sample 0/);
  });

  test.each([[[1, 0.01, 1, 1], 0.25, ['down1', 'up1']], [[1, 0.01, 0.01, 1], 0.5, ['down1', 'down2', 'up1', 'up2']]] as const)('of residual blocks of the strengths %j drops those that turn their input the least', async (strengths, ratio, gone) => {
    const model = modelOf((b, weight) => {
      let x = b.op('MatMul', [b.input('x', tensorType('float32', ['n', 3, 8])), weight('stem', 8, 8)]);
      for (const [i, scale] of strengths.entries()) {
        const down = b.op('Mul', [b.op('MatMul', [b.op('Relu', [b.op('MatMul', [x, weight(`up${i}`, 8, 16)])]), weight(`down${i}`, 16, 8)]), b.constant('float32', scale)]);
        x = b.op('Add', [x, down]);
      }
      b.output(b.op('MatMul', [x, weight('head', 8, 4)]), 'y', tensorType('float32', ['n', 3, 4]));
    });
    const feeds = { x: floatsOf([2, 3, 8], 4) };
    const wanted = await run(model, feeds);
    const { model: smaller, records, sizes } = await structuredPrune({ structure: 'layers', ratio }).run(model, { jobs, samples: [feeds, { x: floatsOf([1, 3, 8], 5) }] });
    assertSound(smaller);
    expect(records.map(({ name }) => name).sort()).toEqual(gone);
    // neighbours too are gone for good
    for (const name of gone) expect(smaller.graph.initializers.has(name)).toBe(false);
    expect(sizes).toMatchObject({ layers: { before: 4, after: 4 - gone.length / 2 } });
    const got = await run(smaller, feeds);
    const largest = Math.max(...wanted.map(Math.abs));
    wanted.forEach((value, i) => expect(Math.abs(got[i]! - value)).toBeLessThan(0.1 * largest));
  });
});
