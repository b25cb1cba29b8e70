/** Static quantization on the reference engine: what is inserted where, what it costs, what is left alone and why. */
import { check, cloneModel, createRng, type DenseTensor, denseOf, type Feeds, Graph, GraphBuilder, inlineJobs, Model, type Node, print, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { quantizeStatic, type StaticOptions } from './quantize-static.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const rng = createRng(11);
const normal = (shape: readonly number[], scale = 1): DenseTensor => denseOf('float32', shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => scale * rng.normal()));

function builder(opset = 17): { model: Model; b: GraphBuilder } {
  const model = new Model();
  model.opsetImports.set('', opset);
  return { model, b: new GraphBuilder(model.graph) };
}

/** Two convolutions (the second behind a residual sum), pools, two dense layers. */
function network(): Model {
  const { model, b } = builder();
  const x = b.input('x', tensorType('float32', ['n', 2, 8, 8]));
  const conv = (input: Value, name: string, from: number, to: number): Value =>
    b.op('Conv', [input, b.initializer(`${name}.weight`, normal([to, from, 3, 3], 0.3)), b.initializer(`${name}.bias`, normal([to], 0.1))], { pads: [1, 1, 1, 1] }, { name });
  const first = b.op('Relu', [conv(x, 'conv1', 2, 4)]);
  const second = b.op('Clip', [conv(first, 'conv2', 4, 4), b.constant('float32', 0), b.constant('float32', 6)]);
  const pooled = b.op('MaxPool', [b.op('Relu', [b.op('Add', [first, second])])], { kernel_shape: [2, 2], strides: [2, 2] });
  const flat = b.op('Flatten', [pooled]);
  const hidden = b.op('Relu', [b.op('Gemm', [flat, b.initializer('fc1.weight', normal([8, 64], 0.2)), b.initializer('fc1.bias', normal([8]))], { transB: 1 })]);
  const logits = b.op('Add', [b.op('MatMul', [hidden, b.initializer('fc2.weight', normal([8, 5], 0.3))]), b.initializer('fc2.bias', normal([5]))]);
  b.output(b.op('Softmax', [logits]), 'y');
  return model;
}

const images = (count: number): Feeds[] => Array.from({ length: count }, () => ({ x: normal([1, 2, 8, 8]) }));

async function run(model: Model, feeds: Feeds): Promise<number[]> {
  await using executor = await engine.load(model);
  return Object.values(await executor.run(feeds)).flatMap((tensor) => [...((tensor as DenseTensor).data as Float32Array)]);
}

async function snr(a: Model, b: Model, feeds: readonly Feeds[]): Promise<number> {
  let signal = 0;
  let noise = 0;
  for (const feed of feeds) {
    const wanted = await run(a, feed);
    const got = await run(b, feed);
    expect(got.every(Number.isFinite)).toBe(true);
    wanted.forEach((x, i) => {
      signal += x * x;
      noise += (x - got[i]!) ** 2;
    });
  }
  return 10 * Math.log10(signal / noise);
}

const quantized = async (model: Model, samples: readonly Feeds[], options: StaticOptions = {}) => quantizeStatic(options).run(cloneModel(model), { jobs, samples });
const opsOf = (model: Model): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { opType } of model.graph.nodes()) counts[opType] = (counts[opType] ?? 0) + 1;
  return counts;
};
const find = (model: Model, opType: string): Node => [...model.graph.nodes()].find((node) => node.opType === opType)!;

describe('quantizeStatic', () => {
  test('puts everything that fuses between pairs, folds activations, leaves the end to floats', async () => {
    const model = network();
    const samples = images(16);
    const { model: result, records, warnings } = await quantized(model, samples);
    expect(check(result)).toEqual([]);
    expect(warnings).toEqual([]);
    const ops = opsOf(result);
    // Relu of conv1, Clip of conv2, Relu of the sum and of fc1 are ends of grids.
    expect([ops['Relu'], ops['Clip']]).toEqual([undefined, undefined]);
    // x, conv1, conv2, sum, pooled, flat, hidden; logits stay floats for Softmax.
    expect(ops['QuantizeLinear']).toBe(7);
    // And four weights, four biases.
    expect(ops['DequantizeLinear']).toBe(15);
    expect(find(result, 'Softmax').input(0)!.producer!.opType).toMatch(/Gemm|Add/);
    expect(records.filter(({ method }) => method !== 'none').map(({ name }) => name).sort()).toEqual(['conv1.weight', 'conv2.weight', 'fc1.weight', 'fc2.weight']);
    for (const record of records) expect([typeof record.objective, typeof record.snrDb]).toEqual(['number', 'number']);
    expect(records[0]!.bytesAfter).toBeLessThan(records[0]!.bytesBefore);
    // Moves keep the grid.
    const pool = find(result, 'MaxPool');
    const scaleOf = (value: Value | undefined): number => Number(((value!.producer!.input(1)!.tensor as DenseTensor).data as Float32Array)[0]);
    expect(scaleOf(pool.output().uses()[0]!.node.output().uses()[0]!.node.output())).toBe(scaleOf(pool.input(0)));
    expect(await snr(model, result, images(8))).toBeGreaterThan(25);
  });

  test.each(['minmax', 'percentile', 'entropy', 'mse'] as const)('%s gives a model near the original, on every processor', async (calibrate) => {
    const model = network();
    const samples = images(12);
    for (const cpu of ['x64-vnni', 'x64', 'arm64'] as const) {
      const { model: result } = await quantized(model, samples, { calibrate, cpu });
      expect(await snr(model, result, images(6)), cpu).toBeGreaterThan(20);
      const codes = [...result.graph.initializers.values()].filter(({ tensor }) => tensor?.dtype === 'int8' && tensor.shape.length > 1);
      const largest = Math.max(...codes.flatMap(({ tensor }) => [...((tensor as DenseTensor).data as Int8Array)].map(Math.abs)));
      expect(largest).toBe(cpu === 'x64' ? 64 : 127);
    }
  });

  test('for TensorFlow Lite everything up to the output is on grids', async () => {
    const model = network();
    const { model: result } = await quantized(model, images(12), { target: 'tflite' });
    expect(check(result)).toEqual([]);
    expect(result.graph.outputs[0]!.producer!.opType).toBe('DequantizeLinear');
    expect(find(result, 'Softmax').input(0)!.producer!.opType).toBe('DequantizeLinear');
    expect(await snr(model, result, images(8))).toBeGreaterThan(25);
  });

  test('one scale for all channels where that is asked for, and a name excludes a node', async () => {
    const model = network();
    const samples = images(8);
    const whole = await quantized(model, samples, { perChannel: false, exclude: ['conv2', /^fc1\./] });
    expect(check(whole.model)).toEqual([]);
    expect(whole.records.filter(({ method }) => method === 'none').map(({ name, note }) => [name, note])).toEqual([['conv2.weight', 'excluded'], ['fc1.weight', 'excluded']]);
    expect([...whole.model.graph.nodes()].filter((node) => node.opType === 'DequantizeLinear' && node.attributes.has('axis'))).toEqual([]);
    expect(find(whole.model, 'Clip')).toBeDefined();
    expect(await snr(model, whole.model, samples)).toBeGreaterThan(20);
  });

  test('parts of a concatenation share a grid when that costs little', async () => {
    for (const [factor, grids] of [[1.2, 1], [20, 2]] as const) {
      const { model, b } = builder();
      const x = b.input('x', tensorType('float32', [1, 2, 8, 8]));
      const part = (name: string, scale: number): Value => b.op('Conv', [x, b.initializer(name, denseOf('float32', [3, 2, 1, 1], [1, 0.5, -0.7, 1, 0.2, -0.9].map((w) => w * scale)))]);
      const joined = b.op('Concat', [part('a', 1), part('b', factor)], { axis: 1 });
      b.output(b.op('Conv', [joined, b.initializer('c', normal([2, 6, 1, 1]))]), 'y');
      const samples = images(8);
      const { model: result } = await quantized(model, samples);
      const concat = find(result, 'Concat');
      const scales = [...concat.inputs.map((value) => value!.producer!), concat.output().uses()[0]!.node].map((node) => Number((node.input(1)!.tensor as DenseTensor).data[0]));
      expect(new Set(scales).size).toBe(grids);
      expect(await snr(model, result, samples), String(factor)).toBeGreaterThan(30);
    }
  });

  test('raises the scale of a weight whose bias would not fit into int32', async () => {
    const { model, b } = builder();
    const x = b.input('x', tensorType('float32', [1, 2]));
    b.output(b.op('Gemm', [x, b.initializer('w', denseOf('float32', [2, 2], [1e-9, 1, -1e-9, 1])), b.initializer('bias', denseOf('float32', [2], [50, 1]))]), 'y');
    const { model: result, records } = await quantized(model, [{ x: denseOf('float32', [1, 2], [0.5, -0.5]) }]);
    expect(records[0]!.note).toMatch(/bias fits/);
    const [first, second] = await run(result, { x: denseOf('float32', [1, 2], [0.5, 0.25]) });
    expect(first).toBeCloseTo(50, 3);
    expect(second).toBeCloseTo(1.75, 1);
  });

  test('leaves subgraphs and operators without a rule alone, and says so', async () => {
    const { model, b } = builder();
    const x = b.input('x', tensorType('float32', [1, 4]));
    const condition = b.input('condition', tensorType('bool', []));
    const h = b.op('MatMul', [x, b.initializer('outer', normal([4, 4]))]);
    const branch = (name: string): Graph => {
      const inner = new Graph(name);
      const ib = b.inner(inner);
      ib.output(ib.op('MatMul', [h, ib.initializer(`${name}.weight`, normal([4, 3]))]), `${name}.out`);
      return inner;
    };
    const [chosen] = b.nodes('If', [condition], { then_branch: { kind: 'graph', value: branch('then') } as never, else_branch: { kind: 'graph', value: branch('else') } as never });
    b.output(chosen!, 'y', tensorType('float32', [1, 3]));
    const samples = [0, 1].map((on) => ({ x: normal([1, 4]), condition: denseOf('bool', [], [on]) }));
    const { model: result, records } = await quantized(model, samples);
    expect(check(result)).toEqual([]);
    expect(records.map(({ name, method }) => [name, method === 'none'])).toEqual([['outer', false], ['then.weight', true], ['else.weight', true]]);
    expect(records[1]!.note).toMatch(/main graph only/);
    for (const feed of samples) expect(await snr(model, result, [feed])).toBeGreaterThan(25);
  });

  test('values that are not finite stay floats, with a warning; zeros and one sample are fine', async () => {
    const { model, b } = builder();
    const x = b.input('x', tensorType('float32', [1, 4]));
    const z = b.input('z', tensorType('float32', [1, 4]));
    b.output(b.op('MatMul', [b.op('Log', [x]), b.initializer('w1', normal([4, 4]))]), 'y1');
    b.output(b.op('MatMul', [z, b.initializer('w2', denseOf('float32', [4, 2], [0, 0, 0, 0, 1, 2, NaN, 3]))]), 'y2');
    const { model: result, records, warnings } = await quantized(model, [{ x: denseOf('float32', [1, 4], [0, 1, 2, 3]), z: denseOf('float32', [1, 4], [0, 0, 0, 0]) }]);
    expect(check(result)).toEqual([]);
    expect(warnings.join()).toMatch(/not finite; what reads it stays float32/);
    expect(records.map(({ name, note }) => [name, note])).toEqual([['w2', '1 values were not finite'], ['w1', expect.stringMatching(/not finite/) as string]]);
    expect(print(result)).not.toContain('w1_codes');
  });

  test('errors name what is wrong', async () => {
    const samples = images(1);
    expect(() => quantizeStatic({ calibrate: 'kl' as never })).toThrow(/calibrate is kl/);
    expect(() => quantizeStatic({ percentile: 20 })).toThrow(/percentile is 20/);
    expect(() => quantizeStatic({ cpu: 'mips' as never })).toThrow(/cpu is mips/);
    await expect(quantizeStatic().run(network(), { jobs })).rejects.toMatchObject({ code: 'E_DATA' });
    await expect(quantizeStatic().run(network(), { samples })).rejects.toMatchObject({ code: 'E_ENGINE' });
    await expect(quantized(network(), [])).rejects.toThrow(/no samples/);
    await expect(quantized(network(), [{}])).rejects.toThrow(/no tensor for the input x/);
    await expect(quantized(network(), samples, { exclude: [/./] })).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO', message: expect.stringMatching(/excluded/) as string });
  });
});
