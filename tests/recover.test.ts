/** Pruned and quantized models that are trained: what they keep to holds, the loss falls, and the integers that are stored compute what was trained. */
import { assertSound, cloneModel, createRng, type DenseTensor, denseOf, type Feeds, GraphBuilder, inlineJobs, type JobHost, Model, type Pass, tensorType, toDense, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { magnitudePrune } from '@penjing/compress';
import { addLora, type Dataset, keepLayers, makeTrainable, openGrids, type OptimizerPlan, prunedWeights, train, type TrainOptions } from '@penjing/distill';
import { wasmKernels } from '@penjing/kernels';
import { quantizeStatic, quantizeWeights, type WeightOptions } from '@penjing/quantize';
import { describe, expect, test } from 'vitest';

const TOKENS = 24;
const WIDTH = 32;
const LENGTH = 6;

/** Tokens → table → two residual layers → logits by the same table. */
function network(): Model {
  const rng = createRng(5);
  const model = new Model();
  model.opsetImports.set('', 25);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number): Value => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => rng.normal() / Math.sqrt(rows))));
  const table = weight('table', TOKENS, WIDTH);
  let x = b.op('Gather', [table, b.input('tokens', tensorType('int64', ['n', LENGTH]))]);
  for (const layer of [0, 1]) {
    const normed = b.op('LayerNormalization', [x, b.initializer(`norm${layer}`, denseOf('float32', [WIDTH], new Array<number>(WIDTH).fill(1)))]);
    x = b.op('Add', [x, b.op('MatMul', [b.op('Relu', [b.op('MatMul', [normed, weight(`up${layer}`, WIDTH, 64)])]), weight(`down${layer}`, 64, WIDTH)])]);
  }
  b.output(b.op('MatMul', [x, b.op('Transpose', [table], { perm: [1, 0] })]), 'logits', tensorType('float32', ['n', LENGTH, TOKENS]));
  return model;
}

const jobs = inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() });

/** The next token is a rule of the last one. */
async function sequences(host: JobHost, count: number, seed: number, factor = 5): Promise<Dataset> {
  const rng = createRng(seed);
  const rows = Array.from({ length: count }, () => {
    const row = [rng.below(TOKENS)];
    while (row.length <= LENGTH) row.push((factor * row.at(-1)! + 3 + (rng.uniform() < 0.1 ? 1 : 0)) % TOKENS);
    return row;
  });
  const ints = (from: number): DenseTensor => denseOf('int64', [count, LENGTH], rows.flatMap((row) => row.slice(from, from + LENGTH)));
  return { columns: { tokens: await host.refer(ints(0)), labels: await host.refer(ints(1)) } };
}

async function trained(model: Model, kept: Pick<OptimizerPlan, 'zeros' | 'grids'>, { rate = 5e-3, ...more }: Partial<TrainOptions> & { readonly rate?: number } = {}): Promise<{ readonly first: number; readonly last: number }> {
  const { state } = await train(model, {
    jobs, batch: 8, steps: 16, seed: 1, data: await sequences(jobs, 256, 1), validation: await sequences(jobs, 16, 2), validateEvery: 16,
    optimizer: { rate, weightDecay: 0.01, clip: 1, ...kept }, ...more,
  });
  return { first: state.validations[0]!.loss, last: state.best!.loss };
}

async function logits(model: Model, feeds: Feeds = { tokens: denseOf('int64', [2, LENGTH], Array.from({ length: 2 * LENGTH }, (_, i) => (7 * i) % TOKENS)) }): Promise<number[]> {
  await using executor = await referenceEngine().load(model);
  return [...((await executor.run(feeds))['logits'] as DenseTensor).data] as number[];
}

const largestDifference = (a: readonly number[], b: readonly number[]): number => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

async function contents(model: Model): Promise<Record<string, Uint8Array>> {
  return Object.fromEntries(await Promise.all([...model.graph.initializers].map(async ([name, { tensor }]) => [name, (await toDense(tensor!)).bytes.slice()] as const)));
}

/** Most of the loss of `network` is what it never learnt: a model that has learnt something comes first. */
let learnt: Promise<Model> | undefined;
const teacher = async (): Promise<Model> => cloneModel(await (learnt ??= (async () => {
  const model = network();
  await trained(model, {}, { steps: 80 });
  return model;
})()));

const apply = async (pass: Pass): Promise<Model> => (await pass.run(await teacher(), { jobs })).model;

test.each([{ sparsity: 0.7 }, { pattern: '2:4' }])('zeros of %j stay, and the loss falls', async (rule) => {
  const model = await apply(magnitudePrune(rule));
  const pruned = await prunedWeights(model, { jobs });
  expect([...pruned.keys()].sort()).toEqual(['down0', 'down1', 'table', 'up0', 'up1'].filter((name) => pruned.has(name)));
  expect(pruned.size).toBeGreaterThanOrEqual(4);
  const zeros = async (): Promise<Record<string, number[]>> => Object.fromEntries(await Promise.all([...pruned.keys()].map(async (name) => [name, [...((await toDense(model.graph.initializers.get(name)!.tensor!)).data as Float32Array)].flatMap((w, i) => (w === 0 ? [i] : []))] as const)));
  const before = await zeros();
  const { first, last } = await trained(model, { zeros: [...pruned.keys()] });
  expect(last).toBeLessThan(first);
  expect(await zeros()).toEqual(before);
});

const quantizedTo = (scheme: WeightOptions): Promise<Model> => apply(quantizeWeights({ ...scheme, accuracyLevel: 1 }));

describe('on integer grids', () => {
  test.each([
    { bits: 2, blockSize: 32, symmetric: true }, { bits: 2, blockSize: 16, symmetric: false }, { bits: 3, blockSize: 32, symmetric: true }, { bits: 3, blockSize: 16, symmetric: false },
    { bits: 4, blockSize: 32, symmetric: true }, { bits: 4, blockSize: 16, symmetric: false }, { bits: 4, blockSize: 64, symmetric: true }, { bits: 8, blockSize: 32, symmetric: true }, { bits: 8, blockSize: 32, symmetric: false },
  ] as const)('$bits bits, blocks of $blockSize, symmetric: $symmetric: opened it computes the same, and closed it is the same', async (scheme) => {
    for (const format of ['qoperator', 'qdq'] as const) {
      const quantized = await quantizedTo({ ...scheme, format });
      const [wanted, before] = [await logits(quantized), await contents(quantized)];
      const opened = await openGrids(quantized, { jobs });
      assertSound(opened.model);
      expect(largestDifference(await logits(opened.model), wanted)).toBeLessThan(1e-5);
      const products = ['down0', 'down1', 'up0', 'up1'];
      expect(opened.grids.map(({ weight }) => weight).sort()).toEqual(format === 'qdq' || WIDTH % scheme.blockSize !== 0 ? products : [...products, 'table'].sort());
      for (const { lowest, highest } of opened.grids) expect(highest - lowest).toBe(2 ** scheme.bits - 1);
      await opened.close(opened.model, { jobs });
      expect(await contents(quantized)).toEqual(before);
    }
  });

  test.each([
    { bits: 2, blockSize: 32, format: 'qoperator', rate: 5e-3 }, { bits: 3, blockSize: 16, format: 'qdq', symmetric: false, rate: 1e-3 }, { bits: 4, blockSize: 32, format: 'qoperator', symmetric: false, rate: 1e-3 },
  ] as const)('$bits bits in blocks of $blockSize, $format: the loss falls, and the stored integers compute what was trained', async ({ rate, ...scheme }) => {
    const quantized = await quantizedTo(scheme);
    const before = await contents(quantized);
    const opened = await openGrids(quantized, { jobs });
    const { model } = await makeTrainable(cloneModel(opened.model));
    const { first, last } = await trained(model, { grids: opened.grids }, { rate });
    expect(last).toBeLessThan(first);
    const { model: closed, records } = await opened.close(model, { jobs });
    assertSound(closed);
    for (const { snrDb, note } of records) {
      expect(snrDb).toBeGreaterThan(120);
      expect(note).toBeUndefined();
    }
    expect(largestDifference(await logits(closed), await logits(model))).toBeLessThan(1e-4);
    expect(await contents(closed)).not.toEqual(before);
  });
});

test('integers are not averaged', async () => {
  const opened = await openGrids(await quantizedTo({ bits: 4, blockSize: 32 }), { jobs });
  const { model } = await makeTrainable(cloneModel(opened.model));
  const optimizer = { rate: 1e-3, grids: opened.grids, average: 0.99 };
  await expect(train(model, { jobs, batch: 8, steps: 1, data: await sequences(jobs, 8, 1), optimizer })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringMatching(/averages of integers/) as string });
});

test.each([{ weights: 'per-channel' }, { weights: 'per-tensor' }] as const)('static int8, $weights: weights are trained through the rounding of activations', async ({ weights }) => {
  const rng = createRng(9);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, shape: readonly number[]): Value => b.initializer(name, denseOf('float32', shape, Array.from({ length: shape.reduce((x, y) => x * y, 1) }, () => rng.normal() / 3)));
  const hidden = b.op('Relu', [b.op('Gemm', [b.input('x', tensorType('float32', ['n', 8])), weight('first', [16, 8]), weight('first_bias', [16])], { transB: 1 })]);
  b.output(b.op('Gemm', [hidden, weight('second', [4, 16]), weight('second_bias', [4])], { transB: 1 }), 'logits', tensorType('float32', ['n', 4]));
  const x = (seed: number, count: number): DenseTensor => {
    const draw = createRng(seed);
    return denseOf('float32', [count, 8], Array.from({ length: count * 8 }, () => draw.normal()));
  };
  const data = async (seed: number, count: number): Promise<Dataset> => {
    const inputs = x(seed, count);
    const labels = Array.from({ length: count }, (_, i) => [0, 1, 2, 3].reduce((best, c) => (inputs.data[8 * i + c]! > inputs.data[8 * i + best]! ? c : best), 0));
    return { columns: { x: await jobs.refer(inputs), labels: await jobs.refer(denseOf('int64', [count], labels)) } };
  };
  const { model: quantized } = await quantizeStatic({ perChannel: weights === 'per-channel' }).run(model, { jobs, samples: [{ x: x(1, 64) }] });
  const before = await contents(quantized);
  const opened = await openGrids(quantized, { jobs });
  expect(opened.grids.map((grid) => [grid.weight, grid.fixed]).sort()).toEqual([['first', undefined], ['second', undefined]]);
  expect(opened.left).toEqual([]);
  expect(opened.activations.length).toBeGreaterThanOrEqual(2);
  expect(largestDifference(await logits(opened.model, { x: x(4, 8) }), await logits(quantized, { x: x(4, 8) }))).toBeLessThan(1e-5);
  const { model: trainable, missing } = await makeTrainable(cloneModel(opened.model));
  expect(missing).toEqual([]);
  const { first, last } = await trained(trainable, { grids: opened.grids }, { data: await data(2, 256), validation: await data(3, 64), steps: 30, rate: 1e-2 });
  expect(last).toBeLessThan(0.9 * first);
  const { model: closed } = await opened.close(trainable, { jobs });
  assertSound(closed);
  const after = await contents(closed);
  const changed = Object.keys(after).filter((name) => Buffer.compare(after[name]!, before[name]!) !== 0);
  expect(changed).toEqual(expect.arrayContaining(['first_codes', 'second_codes', 'first_scale', 'first_bias_codes', 'first_bias_scale']));
  expect(changed.filter((name) => !/codes|scale/.test(name))).toEqual([]);
  // activations have new scales too
  expect(changed.filter((name) => name.endsWith('_scale') && !/^(first|second)/.test(name)).length).toBeGreaterThanOrEqual(2);
  // biases are rounded to steps of the input times steps of the weight: a hidden value that lies so near to half a code may fall either way
  const [ours, theirs] = [await logits(closed, { x: x(4, 64) }), await logits(trainable, { x: x(4, 64) })];
  expect(ours.filter((y, i) => Math.abs(y - theirs[i]!) > 1e-3).length).toBeLessThan(0.1 * ours.length);
  expect(largestDifference(ours, theirs)).toBeLessThan(0.05 * Math.max(...theirs.map(Math.abs)));
});

describe('LoRA', () => {
  test('begins as the model, learns beside frozen weights, and merges into them', async () => {
    const base = await teacher();
    const [wanted, frozen] = [await logits(base), await contents(base)];
    const lora = addLora(base, { rank: 2, targets: [/^(up|down)\d$/] });
    assertSound(lora.model);
    expect(lora.adapters.map(({ a, b }) => [a, b])).toEqual(['up0', 'down0', 'up1', 'down1'].map((name) => [`${name}.lora_A`, `${name}.lora_B`]));
    expect(await logits(lora.model)).toEqual(wanted);
    // other sequences than the teacher's, which it has to learn
    const { first, last } = await trained(lora.model, {}, { select: lora.select, data: await sequences(jobs, 64, 5, 7), validation: await sequences(jobs, 16, 6, 7) });
    expect(last).toBeLessThan(first);
    expect(await contents(lora.model)).toMatchObject(frozen);
    const learnt = await logits(lora.model);
    const { model: merged, records } = lora.merge(lora.model);
    expect(records.map(({ name }) => name)).toEqual(['up0', 'down0', 'up1', 'down1']);
    expect(merged.graph.initializers.has('up0.lora_A')).toBe(false);
    expect(largestDifference(await logits(merged), learnt)).toBeLessThan(1e-5);
    expect(largestDifference(await logits(merged), wanted)).toBeGreaterThan(1e-3);
  });

  test('beside integers, which stay as they are', async () => {
    const quantized = await quantizedTo({ bits: 4 });
    const integers = await contents(quantized);
    const lora = addLora(quantized, { rank: 2, targets: [/^(up|down)\d$/] });
    expect(lora.adapters.map(({ weight }) => weight)).toEqual(['up0', 'down0', 'up1', 'down1']);
    const opened = await openGrids(lora.model, { jobs });
    const { first, last } = await trained(opened.model, {}, { select: lora.select, data: await sequences(jobs, 64, 5, 7), validation: await sequences(jobs, 16, 6, 7) });
    expect(last).toBeLessThan(first);
    const { model: closed } = await opened.close(opened.model, { jobs });
    expect(await contents(closed)).toMatchObject(integers);
    expect(largestDifference(await logits(closed), await logits(opened.model))).toBeLessThan(1e-5);
    expect(() => lora.merge(closed)).toThrow(/is integers/);
  });

  test('as PEFT stores it: names of modules, matrices turned', async () => {
    const model = new Model();
    model.opsetImports.set('', 21);
    const b = new GraphBuilder(model.graph);
    const weight = (name: string): Value => b.initializer(name, denseOf('float32', [4, 4], new Array<number>(16).fill(1)));
    let x = b.input('x', tensorType('float32', ['n', 4]));
    for (const name of ['layers.0.q_proj.weight', 'layers.0.up_proj.weight', 'layers.1.q_proj.weight', 'layers.1.up_proj.weight']) x = b.op('MatMul', [x, weight(name)]);
    b.output(x, 'y');
    const lora = addLora(model, { rank: 2, alpha: 6, targets: [/q_proj/, 'layers.1.up_proj.weight'] });
    lora.model.graph.initializers.get('layers.0.q_proj.weight.lora_B')!.tensor = denseOf('float32', [2, 4], [1, 2, 3, 4, 5, 6, 7, 8]);
    const { checkpoint: { tensors }, config } = lora.peft(lora.model, { taskType: 'CAUSAL_LM', base: 'base' });
    expect([...tensors].map(([name, { shape }]) => [name, shape])).toEqual(['layers.0.q_proj', 'layers.1.q_proj', 'layers.1.up_proj'].flatMap((module) => [[`base_model.model.${module}.lora_A.weight`, [2, 4]], [`base_model.model.${module}.lora_B.weight`, [4, 2]]]));
    expect([...((await toDense(tensors.get('base_model.model.layers.0.q_proj.lora_B.weight')!)).data as Float32Array)]).toEqual([1, 5, 2, 6, 3, 7, 4, 8]);
    // every q_proj has one, and of up_proj only one
    expect(config).toMatchObject({ peft_type: 'LORA', task_type: 'CAUSAL_LM', base_model_name_or_path: 'base', r: 2, lora_alpha: 6, target_modules: ['layers.1.up_proj', 'q_proj'] });
  });

  test('what does not fit is named', async () => {
    const base = await teacher();
    for (const options of [{ rank: 0 }, { rank: 33 }, { rank: 2, alpha: 0 }]) expect(() => addLora(base, options)).toThrow(expect.objectContaining({ code: 'E_OPTION' }) as Error);
    expect(() => addLora(base, { targets: ['nothing'] })).toThrow(expect.objectContaining({ code: 'E_NOTHING_TO_DO' }) as Error);
    expect(() => addLora(base, { rank: 2 }).peft(base)).toThrow(/is not named as a module/);
  });
});

test('students of a layer learn', async () => {
  const { model, sizes } = await keepLayers({ keep: [0] }).run(await teacher(), {});
  expect(sizes?.layers?.after).toBe(1);
  const { first, last } = await trained(model, {});
  expect(last).toBeLessThan(first);
});
