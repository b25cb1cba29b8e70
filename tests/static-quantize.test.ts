/** Static int8 on ONNX Runtime: every pair that is inserted fuses into an integer kernel, and what comes out is near the original. */
import { gunzipSync } from 'node:zlib';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cloneModel, createRng, type DenseTensor, denseOf, type Feeds, GraphBuilder, inlineJobs, memorySource, Model, tensorType, type Value } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { wasmKernels } from '@penjing/kernels';
import { quantizeStatic, type StaticOptions } from '@penjing/quantize';
import { describe, expect, test } from 'vitest';
import { fusedOperators, testEngine } from './support/ort-session.js';
import { testData } from './tools/test-data.js';

const engine = testEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const rng = createRng(21);
const normal = (shape: readonly number[], scale = 1): DenseTensor => denseOf('float32', shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => scale * rng.normal()));

type Body = (b: GraphBuilder, x: Value, weight: (name: string, shape: readonly number[]) => Value) => Value;

function graph(shape: readonly (number | string)[], body: Body): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  b.output(body(b, b.input('x', tensorType('float32', shape)), (name, size) => b.initializer(name, normal(size, 1 / Math.sqrt(size.at(-1)!)))), 'y');
  return model;
}

const feedForward: Body = (b, x, w) => {
  const h = b.op('Tanh', [b.op('Add', [b.op('MatMul', [x, w('a', [16, 32])]), w('a.bias', [32])])]);
  return b.op('Add', [x, b.op('MatMul', [h, w('b', [32, 16])])]);
};

/** What a graph must become, and what must not be left of it. */
const cases: Record<string, { shape: readonly (number | string)[]; body: Body; fused: Record<string, number>; cpu?: StaticOptions['cpu'] }> = {
  'convolutions, residual sum, pools, dense layers': {
    shape: ['n', 3, 8, 8],
    body(b, x, w) {
      const conv = (input: Value, name: string, from: number): Value => b.op('Conv', [input, w(name, [8, from, 3, 3]), w(`${name}.bias`, [8])], { pads: [1, 1, 1, 1] });
      const first = b.op('Relu', [conv(x, 'a', 3)]);
      const sum = b.op('Relu', [b.op('Add', [first, conv(first, 'b', 8)])]);
      const pooled = b.op('GlobalAveragePool', [b.op('MaxPool', [b.op('LeakyRelu', [conv(sum, 'c', 8)])], { kernel_shape: [2, 2], strides: [2, 2] })]);
      return b.op('Gemm', [b.op('Flatten', [pooled]), w('d', [5, 8]), w('d.bias', [5])], { transB: 1 });
    },
    fused: { QLinearConv: 3, QLinearAdd: 1, QLinearLeakyRelu: 1, MaxPool: 1, QLinearGlobalAveragePool: 1, QGemm: 1, QuantizeLinear: 1 },
  },
  'the same with int8 activations': {
    shape: ['n', 3, 8, 8],
    cpu: 'arm64',
    body(b, x, w) {
      const h = b.op('Clip', [b.op('Conv', [x, w('a', [8, 3, 3, 3]), w('a.bias', [8])]), b.constant('float32', 0), b.constant('float32', 6)]);
      return b.op('Gemm', [b.op('Flatten', [b.op('AveragePool', [h], { kernel_shape: [3, 3], strides: [3, 3] })]), w('d', [32, 5])]);
    },
    fused: { QLinearConv: 1, QLinearAveragePool: 1, QGemm: 1, QuantizeLinear: 1 },
  },
  'products of sequences, with and without bias, between floats': {
    shape: [2, 5, 16], body: feedForward,
    fused: { QGemm: 1, MatMulIntegerToFloat: 1, QuantizeLinear: 2, Tanh: 1, Add: 1 },
  },
  // Only with fixed sizes is a product with an addition made one.
  'the same of any length': {
    shape: ['n', 't', 16], body: feedForward,
    fused: { MatMulIntegerToFloat: 2, QuantizeLinear: 2, Tanh: 1, Add: 2 },
  },
  'concatenation, splits and moves': {
    shape: [2, 4, 8, 8],
    body(b, x, w) {
      const [left, right] = b.nodes('Split', [b.op('Conv', [x, w('a', [8, 4, 1, 1])]), b.constant('int64', [4, 4])], { axis: 1 }, { outputCount: 2 });
      const joined = b.op('Concat', [b.op('Sigmoid', [left!]), b.op('Conv', [right!, w('b', [4, 4, 3, 3])], { pads: [1, 1, 1, 1] })], { axis: 1 });
      const resized = b.op('Resize', [joined, null, b.constant('float32', [1, 1, 2, 2])], { mode: 'nearest' });
      return b.op('Conv', [b.op('Transpose', [resized], { perm: [0, 1, 3, 2] }), w('c', [2, 8, 1, 1])]);
    },
    fused: { QLinearConv: 3, Split: 1, QLinearSigmoid: 1, QLinearConcat: 1, Resize: 1, QuantizeLinear: 1 },
  },
};

async function outputsOf(model: Model, feeds: readonly Feeds[]): Promise<number[]> {
  await using executor = await engine.load(model);
  const all: number[] = [];
  for (const feed of feeds) for (const tensor of Object.values(await executor.run(feed))) all.push(...((tensor as DenseTensor).data as Float32Array));
  return all;
}

function snr(wanted: readonly number[], got: readonly number[]): number {
  const noise = wanted.reduce((sum, x, i) => sum + (x - got[i]!) ** 2, 0);
  return 10 * Math.log10(wanted.reduce((sum, x) => sum + x * x, 0) / noise);
}

describe('static int8 fuses on ONNX Runtime', () => {
  test.each(Object.keys(cases))('%s', async (name) => {
    const { shape, body, fused, cpu } = cases[name]!;
    const model = graph(shape, body);
    const samples = Array.from({ length: 12 }, () => ({ x: normal(shape.map((dim) => (typeof dim === 'number' ? dim : 2))) }));
    const { model: result } = await quantizeStatic({ ...(cpu && { cpu }) }).run(cloneModel(model), { jobs, samples });
    const operators = await fusedOperators(result);
    expect(operators).toMatchObject(fused);
    for (const left of ['Conv', 'Gemm', 'MatMul', 'Sigmoid', 'LeakyRelu', 'Concat', 'AveragePool', 'GlobalAveragePool']) expect(operators[left], left).toBeUndefined();
    expect(snr(await outputsOf(model, samples), await outputsOf(result, samples))).toBeGreaterThan(30);
  });
});

describe.skipIf(!testData)('static int8 on digits', () => {
  // Digits 0-511 decide the ranges, 5,000-5,999 are counted.
  test.each([['mnist-cntk.onnx', (x: number) => x], ['burn-mnist.onnx', (x: number) => (x / 255 - 0.1307) / 0.3081]] as const)('%s keeps its top-1', async (file, normalize) => {
    const model = await readOnnx(memorySource(await readFile(join(testData!, 'models/mnist', file))));
    const { images, labels } = await digits(testData!, normalize);
    const [input] = model.graph.inputs.filter((value) => !value.tensor);
    const feed = (i: number): Feeds => ({ [input!.name]: images(i) });
    const samples = Array.from({ length: 512 }, (_, i) => feed(i));
    const { model: result } = await quantizeStatic().run(cloneModel(model), { jobs, samples });
    const operators = await fusedOperators(result);
    expect(operators['QLinearConv']).toBe(file === 'burn-mnist.onnx' ? 3 : 2);
    expect([operators['Conv'], operators['Gemm'], operators['MatMul']]).toEqual([undefined, undefined, undefined]);
    const tested = Array.from({ length: 1000 }, (_, i) => 5000 + i);
    const correct = async (of: Model): Promise<number> => {
      const scores = await outputsOf(of, tested.map(feed));
      return tested.filter((at, i) => argMax(scores.slice(i * 10, i * 10 + 10)) === labels[at]).length;
    };
    const [before, after] = [await correct(model), await correct(result)];
    expect(before).toBeGreaterThan(900);
    expect(before - after).toBeLessThanOrEqual(3);
  });
});

/** Digit i as [1, 1, 28, 28], and the labels. */
async function digits(folder: string, normalize: (x: number) => number): Promise<{ images: (i: number) => DenseTensor; labels: Uint8Array }> {
  const read = async (name: string): Promise<Uint8Array> => gunzipSync(await readFile(join(folder, 'datasets/mnist', `mnist-t10k-first6000-${name}-ubyte.gz`)));
  const pixels = (await read('images-idx3')).subarray(16);
  return {
    images: (i) => denseOf('float32', [1, 1, 28, 28], [...pixels.subarray(i * 784, (i + 1) * 784)].map((x) => normalize(x))),
    labels: (await read('labels-idx1')).subarray(8),
  };
}

function argMax(scores: readonly number[]): number {
  return scores.indexOf(Math.max(...scores));
}
