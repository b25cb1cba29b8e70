/** Pruning against PyTorch implementations of the papers, and palettes on ONNX Runtime. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DenseTensor, createRng, denseOf, type Engine, GraphBuilder, inlineJobs, memorySource, Model, tensorType, toDense } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { clusterWeights, magnitudePrune, pruneJob, storeSparse } from '@penjing/compress';
import { layoutToBytes, openSafetensors, readOnnx, serializeOnnx } from '@penjing/graph-io';
import { wasmKernels } from '@penjing/kernels';
import { ortEngine, ortJobs } from '@penjing/runtime';
import { describe, expect, test } from 'vitest';

const fixtures = join(import.meta.dirname, 'fixtures', 'prune');

interface Case {
  readonly layer: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly goal: string;
  readonly sparsegpt: number;
  readonly wanda: number;
}

const cases = JSON.parse(readFileSync(join(fixtures, 'expected.json'), 'utf8')) as Case[];

describe('the same layers and Hessians as peers/fixtures/prune.py', () => {
  test('reach objectives of at most 1.02 times those of PyTorch', async () => {
    await using jobs = ortJobs({ threads: 1 });
    const { tensors } = await openSafetensors(memorySource(readFileSync(join(fixtures, 'layers.safetensors'))));
    const floats = async (name: string): Promise<Float32Array> => (await toDense(tensors.get(name)!)).data.slice() as Float32Array;
    for (const { layer, inputs, goal, ...peer } of cases) {
      const weights = await jobs.refer(tensors.get(`w${layer}`)!);
      const sums = await floats(`h${layer}`);
      const sparsity = goal.includes(':') ? ({ kind: 'pattern', keep: Number(goal.split(':')[0]), of: Number(goal.split(':')[1]) } as const) : ({ kind: 'share', share: 0.5 } as const);
      const squares = Float64Array.from({ length: inputs }, (_, i) => sums[i * inputs + i]!);
      for (const [name, metric] of [['sparsegpt', { kind: 'hessian', sums }], ['wanda', { kind: 'diagonal', squares }]] as const) {
        const { matrices: [pruned] } = await jobs.run(pruneJob, { metric, size: inputs, sparsity, matrices: [weights] });
        if (typeof pruned !== 'object') throw new Error(pruned);
        expect(pruned.objective, `${name} ${goal} of ${inputs} inputs`).toBeLessThanOrEqual(1.02 * peer[name]);
        expect(pruned.sparsity).toBeGreaterThan(0.49);
      }
    }
  });
});

describe('palettes on ONNX Runtime', () => {
  test.each([[4, undefined], [3, undefined], [2, 1], [5, 16]] as const)('%i bits, a codebook for %s outputs', async (bits, outputs) => {
    const network = (): Model => {
      const rng = createRng(6);
      const model = new Model();
      model.irVersion = 8;
      model.opsetImports.set('', 17);
      const b = new GraphBuilder(model.graph);
      const weight = b.initializer('w', denseOf('float32', [96, 64], Array.from({ length: 96 * 64 }, () => rng.normal())));
      b.output(b.op('MatMul', [b.input('x', tensorType('float32', ['n', 96])), weight]), 'y', tensorType('float32', ['n', 64]));
      return model;
    };
    const jobs = inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() });
    const { model, records: [record] } = await clusterWeights({ bits, ...(outputs !== undefined && { outputs }) }).run(network(), { jobs });
    const size = (of: Model): number => serializeOnnx(of, { externalData: 'never' }).reduce((sum, layout) => sum + layout.size, 0);
    expect(size(model)).toBeLessThan(size(network()) / (bits > 4 ? 3 : 4));
    const x = denseOf('float32', [96, 96], Array.from({ length: 96 * 96 }, (_, i) => (Math.floor(i / 96) === i % 96 ? 1 : 0)));
    const decoded = async (of: Model, engine: Engine): Promise<Float32Array> => {
      await using executor = await engine.load(of);
      return ((await executor.run({ x })).y as DenseTensor).data as Float32Array;
    };
    const [got, wanted] = [await decoded(model, ortEngine()), await decoded(network(), referenceEngine())];
    const squared = got.reduce((sum, value, i) => sum + (value - wanted[i]!) ** 2, 0);
    expect(squared / 2 / record!.objective!).toBeCloseTo(1, 3);
  });
});

describe('sparse weights on ONNX Runtime', () => {
  test('compute what dense ones compute, matrices and kernels, from a smaller file that is read back', async () => {
    const network = (): Model => {
      const rng = createRng(8);
      const numbers = (count: number): number[] => Array.from({ length: count }, () => rng.normal());
      const model = new Model();
      model.irVersion = 8;
      model.opsetImports.set('', 17);
      const b = new GraphBuilder(model.graph);
      const x = b.op('Conv', [b.input('x', tensorType('float32', ['n', 4, 6, 6])), b.initializer('kernel', denseOf('float32', [16, 4, 3, 3], numbers(576)))]);
      b.output(b.op('MatMul', [b.op('Flatten', [x]), b.initializer('w', denseOf('float32', [256, 64], numbers(256 * 64)))]), 'y', tensorType('float32', ['n', 64]));
      return model;
    };
    const jobs = inlineJobs({ engine: referenceEngine(), kernels: wasmKernels() });
    const { model } = await storeSparse(magnitudePrune({ sparsity: 0.8 })).run(network(), { jobs });
    const { model: dense } = await magnitudePrune({ sparsity: 0.8 }).run(network(), { jobs });
    const layouts = serializeOnnx(model, { externalData: 'never' });
    expect(layouts.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(0.65 * serializeOnnx(network(), { externalData: 'never' }).reduce((sum, { size }) => sum + size, 0));
    const x = denseOf('float32', [2, 4, 6, 6], Array.from({ length: 288 }, (_, i) => Math.sin(i)));
    const outputOf = async (of: Model): Promise<Float32Array> => {
      await using executor = await ortEngine().load(of);
      return ((await executor.run({ x })).y as DenseTensor).data as Float32Array;
    };
    expect(await outputOf(model)).toEqual(await outputOf(dense));
    const again = await readOnnx(memorySource(await layoutToBytes(layouts[0]!)));
    expect([...again.graph.initializers.values()].map(({ tensor }) => tensor!.kind)).toEqual(['sparse', 'sparse']);
    expect(await outputOf(again)).toEqual(await outputOf(dense));
  });
});
