/** The AWQ pass on the reference engine: outputs, where its factors go, and its records. */
import { check, createRng, type DenseTensor, denseOf, type Feeds, GraphBuilder, inlineJobs, Model, type PassContext, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { quantizeWeights } from '../quantize-weights.js';
import { awqWeights } from './awq-weights.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const WIDTH = 32;

/** Tokens → embedding → normalised gated layer → residual sum, which its readers share → logits. Some channels are much larger than others. */
function network(norm: 'fused' | 'single' | 'shared'): Model {
  const rng = createRng(5);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const tensor = (rows: number, cols: number, scale = (_: number) => 1): DenseTensor => denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, (_, i) => (rng.normal() / Math.sqrt(rows)) * scale(i % cols)));
  const x = b.op('Gather', [b.initializer('table', tensor(50, WIDTH, (i) => (i % 7 === 3 ? 40 : 1))), b.input('tokens', tensorType('int64', ['n']))]);
  const gain = b.initializer('gain', denseOf('float32', [WIDTH], Array.from({ length: WIDTH }, (_, i) => 1 + (i % 3))));
  let y: Value = norm === 'single' ? b.op('Mul', [x, gain]) : b.op('LayerNormalization', [x, gain, b.initializer('shift', denseOf('float32', [WIDTH], new Array<number>(WIDTH).fill(0.1)))], { axis: -1 });
  if (norm === 'shared') b.output(b.op('Identity', [y]), 'normed');
  const gated = b.op('Mul', [b.op('Relu', [b.op('MatMul', [y, b.initializer('gate', tensor(WIDTH, 2 * WIDTH))])]), b.op('MatMul', [y, b.initializer('up', tensor(WIDTH, 2 * WIDTH, (i) => (i % 5 === 1 ? 10 : 1)))])]);
  y = b.op('Add', [x, b.op('MatMul', [gated, b.initializer('down', tensor(2 * WIDTH, WIDTH))])]);
  b.output(b.op('Gemm', [y, b.initializer('head', tensor(48, WIDTH)), b.initializer('bias', denseOf('float32', [48], new Array<number>(48).fill(0.5)))], { transB: 1 }), 'logits');
  return model;
}

function tokens(seed: number): Feeds {
  const rng = createRng(seed);
  return { tokens: denseOf('int64', [60], Array.from({ length: 60 }, () => rng.below(50))) };
}

const context: PassContext = { jobs, samples: [tokens(1), tokens(2)] };

async function logits(model: Model): Promise<Float32Array> {
  await using executor = await engine.load(model);
  return ((await executor.run(tokens(9))).logits as DenseTensor).data as Float32Array;
}

async function error(model: Model, original: Model): Promise<number> {
  const wanted = await logits(original);
  return (await logits(model)).reduce((sum, value, i) => sum + (value - wanted[i]!) ** 2, 0);
}

describe('awqWeights', () => {
  test.each([
    { norm: 'fused', format: 'qoperator' }, { norm: 'single', format: 'qoperator' }, { norm: 'shared', format: 'qoperator' },
    { norm: 'fused', format: 'qdq' }, { norm: 'shared', format: 'qdq' },
  ] as const)('keeps the outputs closer than rounding to the nearest: $norm, $format', async ({ norm, format }) => {
    const options = { bits: 3, symmetric: false, blockSize: 16, embeddings: false, accuracyLevel: 1, format } as const;
    const nearest = await quantizeWeights(options).run(network(norm), {});
    const { model, records } = await awqWeights(options).run(network(norm), context);
    expect(check(model)).toEqual([]);
    expect(await error(model, network(norm))).toBeLessThan(0.7 * (await error(nearest.model, network(norm))));
    const note = new Map(records.map((record) => [record.name, record.note]));
    expect(note.get('gate')).toMatch(norm === 'shared' ? /^α 0\.\d+; factors in a Mul before it$/ : /^α 0\.\d+; factors in (Mul|LayerNorm)/);
    expect(note.get('up')).toBe(note.get('gate'));
    expect(note.get('down')).toMatch(/^α (0$|0\.\d+; factors in (?!a Mul))/);
    expect(note.get('head')).toMatch(/^α 0\.\d+; factors in a Mul before it$/);
    for (const record of records) expect(record).toMatchObject({ method: `awq int3 block 16 asymmetric ${format}`, objective: expect.any(Number) as number });
  });

  test('the factors change nothing but the rounding', async () => {
    // 8 bits hold almost everything: what is left of the difference would be a mistake in the graph
    for (const format of ['qoperator', 'qdq'] as const) {
      const options = { bits: 8, blockSize: 16, embeddings: false, accuracyLevel: 1, format } as const;
      const { model } = await awqWeights(options).run(network('fused'), context);
      const wanted = await logits(network('fused'));
      expect(await error(model, network('fused'))).toBeLessThan(1e-3 * wanted.reduce((sum, value) => sum + value ** 2, 0));
    }
  });

  test('rounds to the nearest what cannot be calibrated', async () => {
    const broken = network('fused');
    broken.graph.initializers.get('up')!.tensor = denseOf('float32', [WIDTH, 2 * WIDTH], new Array<number>(WIDTH * 2 * WIDTH).fill(NaN));
    const { records } = await awqWeights({ blockSize: 16 }).run(broken, context);
    expect(records.find(({ name }) => name === 'gate')?.note).toMatch(/rounded to the nearest: 2048 of 2048 weights .* not finite/);
    expect(records.find(({ name }) => name === 'table')?.note).toMatch(/rounded to the nearest/);
    expect(records.find(({ name }) => name === 'down')?.note).toMatch(/rounded to the nearest: the activation .* is not finite/);
    await expect(awqWeights().run(network('fused'), { jobs })).rejects.toThrow(/AWQ needs samples/);
  });
});
