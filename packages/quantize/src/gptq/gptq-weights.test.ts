/** The GPTQ pass on the reference engine: the outputs of the model, its records, and what it cannot do. */
import { check, cloneModel, createRng, DenseTensor, denseOf, type Feeds, GraphBuilder, inlineJobs, Model, type PassContext, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { quantizeWeights } from '../quantize-weights.js';
import { gptqWeights } from './gptq-weights.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const WIDTH = 32;
const ROWS = 60;

/** Tokens → embedding → two layers, the first of two matrices on one activation, → logits. */
function network(): Model {
  const rng = createRng(5);
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number) => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => rng.normal() / Math.sqrt(rows))));
  const x = b.op('Gather', [weight('table', 50, WIDTH), b.input('tokens', tensorType('int64', ['n']))]);
  const gated = b.op('Mul', [b.op('Relu', [b.op('MatMul', [x, weight('gate', WIDTH, 2 * WIDTH)])]), b.op('MatMul', [x, weight('up', WIDTH, 2 * WIDTH)])]);
  const y = b.op('Add', [x, b.op('MatMul', [gated, weight('down', 2 * WIDTH, WIDTH)])]);
  b.output(b.op('Gemm', [y, weight('head', 48, WIDTH), b.initializer('bias', denseOf('float32', [48], Array.from({ length: 48 }, () => rng.normal())))], { transB: 1 }), 'logits');
  return model;
}

function tokens(seed: number): Feeds {
  const rng = createRng(seed);
  return { tokens: denseOf('int64', [ROWS], Array.from({ length: ROWS }, () => rng.below(50))) };
}

const context: PassContext = { jobs, samples: [tokens(1), tokens(2), tokens(3)] };

async function logits(model: Model, feeds: Feeds): Promise<Float32Array> {
  await using executor = await engine.load(model);
  return ((await executor.run(feeds)).logits as DenseTensor).data as Float32Array;
}

async function error(model: Model): Promise<number> {
  const feeds = tokens(9);
  const wanted = await logits(network(), feeds);
  const got = await logits(model, feeds);
  return got.reduce((sum, value, i) => sum + (value - wanted[i]!) ** 2, 0);
}

describe('gptqWeights', () => {
  test.each([{ bits: 4, symmetric: true }, { bits: 2, symmetric: false }])('keeps the outputs closer than rounding to the nearest: $bits bits', async (scheme) => {
    const options = { ...scheme, blockSize: 16, embeddings: false, accuracyLevel: 1 } as const;
    const nearest = await quantizeWeights(options).run(network(), {});
    const { model, records } = await gptqWeights(options).run(network(), context);
    expect(await error(model)).toBeLessThan(0.9 * (await error(nearest.model)));
    expect([...model.graph.nodes()].filter(({ opType }) => opType === 'MatMulNBits')).toHaveLength(4);
    const byName = new Map(records.map((record) => [record.name, record]));
    for (const name of ['gate', 'up', 'down', 'head']) {
      expect(byName.get(name)).toMatchObject({ method: expect.stringMatching(/^gptq int/) as string, objective: expect.any(Number) as number });
      expect(byName.get(name)!.snrDb).toBeGreaterThan(scheme.bits === 4 ? 15 : 2);
    }
    expect(byName.has('table')).toBe(false);
  });

  test.each([{ bits: 4, symmetric: true }, { bits: 3, symmetric: true }, { bits: 8, symmetric: false }])('stores the same numbers in standard operators: $bits bits, symmetric $symmetric', async (scheme) => {
    const options = { ...scheme, blockSize: 16, embeddings: false, accuracyLevel: 1 } as const;
    const opset = (model: Model): Model => (model.opsetImports.set('', 21), model);
    const qoperator = await gptqWeights(options).run(opset(network()), context);
    const qdq = await gptqWeights({ ...options, format: 'qdq' }).run(opset(network()), context);
    expect(check(qdq.model)).toEqual([]);
    expect([...qdq.model.graph.nodes()].filter(({ opType }) => opType === 'DequantizeLinear')).toHaveLength(4);
    // One code may fall to the other side where products are summed in another order: layers after the first see that.
    expect(qdq.records[0]).toEqual({ ...qoperator.records[0], method: qoperator.records[0]!.method.replace('qoperator', 'qdq'), bytesAfter: qdq.records[0]!.bytesAfter });
    const wanted = await logits(qoperator.model, tokens(9));
    const got = await logits(qdq.model, tokens(9));
    expect(got.reduce((sum, value, i) => sum + (value - wanted[i]!) ** 2, 0)).toBeLessThan(1e-3 * wanted.reduce((sum, value) => sum + value ** 2, 0));
  });

  test('mixes schemes and methods by layer', async () => {
    const { model, records } = await gptqWeights({
      blockSize: 16,
      embeddings: false,
      layers: [{ match: ['gate'], bits: 8 }, { match: /^up$/, bits: 2, blockSize: 32, symmetric: false }, { match: 'head', method: 'hqq', bits: 3 }, { match: 'down', method: 'none' }],
    }).run(network(), context);
    expect(check(model)).toEqual([]);
    expect(records.map(({ name, method, note }) => [name, method, note])).toEqual([
      ['down', 'none', 'excluded'],
      ['gate', 'gptq int8 block 16 symmetric qoperator, fitted scales', undefined],
      ['up', 'gptq int2 block 32 asymmetric qoperator, fitted scales', undefined],
      ['head', 'hqq int3 block 16 symmetric qoperator', undefined],
    ]);
    const bits = [...model.graph.nodes()].filter(({ opType }) => opType === 'MatMulNBits').map((node) => [node.int('bits', 0), node.int('block_size', 0)]);
    expect(bits).toEqual([[8, 16], [2, 32], [4, 16]]);
  });

  test('rounds to the nearest what no activation multiplies, and what was calibrated with nonsense', async () => {
    const table = await gptqWeights({ blockSize: 16 }).run(network(), context);
    expect(table.records.find(({ name }) => name === 'table')).toMatchObject({ method: 'rtn int4 block 16 symmetric qoperator, fitted scales', note: expect.stringContaining('nearest') as string });
    const broken = network();
    const values = Float32Array.from({ length: WIDTH * 2 * WIDTH }, () => 3e38);
    broken.graph.initializers.get('gate')!.tensor = DenseTensor.of('float32', [WIDTH, 2 * WIDTH], values);
    const { records } = await gptqWeights({ blockSize: 16, embeddings: false }).run(broken, context);
    expect(records.find(({ name }) => name === 'down')?.note).toMatch(/rounded to the nearest: the activation .* is not finite in sample 0/);
    expect(records.find(({ name }) => name === 'up')?.method).toMatch(/^gptq/);
  });

  test('says what it needs', async () => {
    expect(() => gptqWeights({ bits: 5 })).toThrow(/bits must be/);
    expect(() => gptqWeights({ layers: [{ match: 'up', method: 'awq' }] })).toThrow(/offers rtn, hqq, gptq/);
    await expect(gptqWeights().run(network(), { jobs })).rejects.toThrow(/needs samples/);
    await expect(gptqWeights().run(network(), { samples: [] })).rejects.toThrow(/host for jobs/);
    await expect(gptqWeights({ blockSize: 16 }).run(network(), { jobs, samples: [] })).rejects.toThrow(/no samples/);
    const model = cloneModel(network());
    await expect(gptqWeights({ blockSize: 16 }).run(model, { jobs, samples: [{ x: tokens(1).tokens! }] })).rejects.toThrow(/sample 0 has no tensor for the input tokens/);
  });
});
