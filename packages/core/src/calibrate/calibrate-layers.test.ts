/** The driver of calibrated passes: which layers share an activation, the same statistics in one sweep or several, what is refused. */
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { denseOf, GraphBuilder } from '../builder.js';
import type { Feeds } from '../engine.js';
import { Model } from '../graph/model.js';
import { tensorType } from '../graph/value-type.js';
import { inlineJobs, type Job } from '../job.js';
import { referenceEngine } from '../reference/index.js';
import { createRng } from '../rng.js';
import { DenseTensor, toDense } from '../tensor.js';
import { calibrateLayers, type CalibrateLayersOptions } from './calibrate-layers.js';
import type { StatisticName } from './collectors/index.js';
import { layerGroups } from './layer-groups.js';
import { weightMatrices } from './weight-matrices.js';

const jobs = inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() });
const WIDTH = 6;

/** Two layers of gate, up and down; a kernel, a turned matrix, a lookup, and a weight that two activations read. */
function network(): Model {
  const rng = createRng(7);
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, ...shape: number[]) => b.initializer(name, denseOf('float32', shape, Array.from({ length: shape.reduce((a, c) => a * c, 1) }, () => rng.normal())));
  let x = b.op('Gather', [weight('table', 9, WIDTH), b.input('tokens', tensorType('int64', ['n']))]);
  const tied = weight('tied', WIDTH, WIDTH);
  for (let i = 0; i < 2; i++) {
    const gated = b.op('Mul', [b.op('MatMul', [x, weight(`gate${i}`, WIDTH, 8)]), b.op('Gemm', [x, weight(`up${i}`, 8, WIDTH)], { transB: 1 })]);
    x = b.op('Add', [x, b.op('MatMul', [gated, weight(`down${i}`, 8, WIDTH)])]);
    x = b.op('Add', [x, b.op('MatMul', [x, tied])]);
  }
  b.output(x, 'y');
  return model;
}

const samples: Feeds[] = [3, 1, 4].map((length, seed) => ({ tokens: denseOf('int64', [length], Array.from({ length }, (_, i) => (i * 5 + seed) % 9)) }));

async function gather<Name extends StatisticName>(options: Pick<CalibrateLayersOptions<Name>, 'statistics' | 'memory'>, edit = false) {
  const model = network();
  const { matrices } = weightMatrices(model, ['matmul', 'gemm', 'gather']);
  const { groups } = layerGroups(model, matrices);
  const found: { names: string[]; statistics: unknown; problem: string | undefined }[] = [];
  for await (const { group, statistics, problem } of calibrateLayers(model, { jobs, samples, groups, ...options })) {
    found.push({ names: group.layers.map(({ weight }) => weight.name), statistics: structuredClone(statistics), problem });
    if (!edit) continue;
    for (const { weight, matrix, stored } of group.layers) weight.tensor = stored(await jobs.tensor(await jobs.run(halve, await jobs.refer(matrix))));
  }
  return found;
}

const halve: Job<Awaited<ReturnType<typeof jobs.refer>>, Awaited<ReturnType<typeof jobs.refer>>> = {
  module: '', name: '',
  run: async (weight, { read, spill }) => spill(DenseTensor.of('float32', weight.shape, ((await read(weight)).data as Float32Array).map((value) => value / 2))),
};

describe('calibrateLayers', () => {
  test('gives layers that read one activation together, block by block', async () => {
    const found = await gather({ statistics: ['norms', 'gram'] });
    expect(found.map(({ names }) => names)).toEqual([['gate0', 'up0'], ['down0'], ['gate1', 'up1'], ['down1']]);
    for (const { statistics, problem } of found) {
      const { norms, gram } = statistics as { norms: { squares: Float64Array; rows: number }; gram: { sums: Float32Array; channels: number; rows: number } };
      expect(problem).toBeUndefined();
      expect([norms.rows, gram.rows]).toEqual([8, 8]);
      norms.squares.forEach((square, i) => expect(gram.sums[i * gram.channels + i]! / square).toBeCloseTo(1, 4));
    }
  });

  test('gives the same whether statistics fit into one sweep or not, while weights are edited', async () => {
    expect(await gather({ statistics: ['gram'], memory: 1 }, true)).toEqual(await gather({ statistics: ['gram'] }, true));
    expect(await gather({ statistics: ['gram'] }, true)).not.toEqual(await gather({ statistics: ['gram'] }));
  });

  test('names the activations that are no numbers', async () => {
    const model = network();
    model.graph.initializers.get('gate0')!.tensor = denseOf('float32', [WIDTH, 8], Array.from({ length: WIDTH * 8 }, () => 3e38));
    const { groups } = layerGroups(model, weightMatrices(model, ['matmul', 'gemm']).matrices);
    const problems: string[] = [];
    for await (const { group, problem } of calibrateLayers(model, { jobs, samples, groups, statistics: ['norms'] })) {
      if (problem !== undefined) problems.push(`${group.layers[0]!.weight.name}: ${problem}`);
    }
    expect(problems[0]).toMatch(/^down0: the activation .* is not finite in sample 0$/);
    expect(problems).toHaveLength(3);
  });

  test('says why a weight has no activation of its own', () => {
    const model = network();
    const { skipped } = layerGroups(model, weightMatrices(model, ['matmul', 'gemm', 'gather']).matrices);
    expect(skipped.map(({ weight, reason }) => `${weight.name}: ${reason}`)).toEqual([
      'table: it is looked up: no activation multiplies it',
      'tied: several activations multiply it',
    ]);
  });
});

describe('weightMatrices', () => {
  test('turns and flattens as stored, and back', async () => {
    const model = new Model();
    model.opsetImports.set('', 17);
    const b = new GraphBuilder(model.graph);
    const kernel = b.initializer('kernel', denseOf('float32', [2, 3, 1, 2], Array.from({ length: 12 }, (_, i) => i)));
    const matrix = b.initializer('matrix', denseOf('float32', [2, 3], [0, 1, 2, 3, 4, 5]));
    b.output(b.op('Conv', [b.input('x', tensorType('float32', [1, 3, 5, 5])), kernel]), 'a');
    b.output(b.op('MatMul', [b.input('z', tensorType('float32', [1, 2])), matrix]), 'b');
    b.output(b.op('Neg', [matrix]), 'c');
    const { matrices } = weightMatrices(model, ['conv', 'matmul']);
    expect(matrices.map(({ weight, matrix: { shape }, otherReaders }) => [weight.name, shape, otherReaders.map(({ opType }) => opType)])).toEqual([['kernel', [2, 6], []], ['matrix', [3, 2], ['Neg']]]);
    for (const { weight, matrix: form, stored } of matrices) {
      const back = await toDense(stored(form));
      expect([back.shape, [...(back.data as Float32Array)]]).toEqual([weight.tensor!.shape, [...((weight.tensor as DenseTensor).data as Float32Array)]]);
    }
  });
});
