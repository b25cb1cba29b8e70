/** Pruning kernels of convolutions by the patches that they see: Wanda and SparseGPT against magnitude on the outputs of the network. */
import { createRng, type DenseTensor, denseOf, type Feeds, GraphBuilder, inlineJobs, Model, type Pass, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { sparseGpt, wanda } from './calibrated-prune.js';
import { magnitudePrune } from './magnitude-prune.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const SIDE = 9;

function network(): Model {
  const rng = createRng(6);
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const kernel = (name: string, ...shape: number[]) => b.initializer(name, denseOf('float32', shape, Array.from({ length: shape.reduce((a, c) => a * c, 1) }, () => rng.normal() / 4)));
  const first = b.op('Relu', [b.op('Conv', [b.input('x', tensorType('float32', [1, 2, SIDE, SIDE])), kernel('first', 8, 2, 3, 3)], { pads: [1, 1, 1, 1] })]);
  const deep = b.op('Conv', [first, kernel('deep', 8, 1, 3, 3)], { group: 8 });
  b.output(b.op('Conv', [b.op('Relu', [deep]), kernel('last', 4, 8, 1, 1)], { strides: [2, 2] }), 'y');
  return model;
}

/** Channels of unequal size, smooth from place to place: inputs that go can be made up for. */
function picture(seed: number): Feeds {
  const rng = createRng(seed);
  const [a, c] = [rng.uniform() * 3, rng.uniform() * 3];
  return { x: denseOf('float32', [1, 2, SIDE, SIDE], Array.from({ length: 2 * SIDE ** 2 }, (_, i) => (i < SIDE ** 2 ? 6 : 1) * (Math.sin(a + i / 3) + Math.cos(c * Math.floor(i / SIDE)) + rng.normal() / 4))) };
}

const samples = Array.from({ length: 12 }, (_, i) => picture(i));

async function outputOf(model: Model): Promise<Float32Array> {
  await using executor = await engine.load(model);
  const outputs = [];
  for (let seed = 100; seed < 104; seed++) outputs.push(...((await executor.run(picture(seed)))['y'] as DenseTensor).data as Float32Array);
  return Float32Array.from(outputs);
}

async function prune(pass: Pass) {
  const wanted = await outputOf(network());
  const { model, records } = await pass.run(network(), { jobs, samples });
  const got = await outputOf(model);
  return { loss: got.reduce((sum, value, i) => sum + (value - wanted[i]!) ** 2, 0), records: Object.fromEntries(records.map((record) => [record.name, record])) };
}

describe('convolutions', () => {
  test('lose less by what they see than by magnitude', async () => {
    const half = { sparsity: 0.5, exclude: ['deep'] };
    const [byMagnitude, byNorms, byHessian] = await Promise.all([prune(magnitudePrune(half)), prune(wanda(half)), prune(sparseGpt(half))]);
    expect(byHessian.loss).toBeLessThan(byNorms.loss);
    expect(byNorms.loss).toBeLessThan(byMagnitude.loss);
    for (const name of ['first', 'last']) {
      expect(byHessian.records[name]).toMatchObject({ method: 'sparsegpt 50 %', sparsity: 0.5 });
      expect(byHessian.records[name]!.note).toBeUndefined();
      expect(byNorms.records[name]!.method).toBe('wanda 50 %');
    }
  });

  test('keep patterns over channels', async () => {
    const { records } = await prune(sparseGpt({ pattern: '2:4' }));
    expect(records['first']!.note).toMatch(/by magnitude: its pattern runs over channels/);
    expect(records['deep']!.note).toMatch(/by magnitude: /);
    expect(records['last']!.method).toBe('sparsegpt 2:4');
  });
});
