/** Palettes on the reference engine: the graph computes with codebook entries, the records say what was lost, and what cannot be done. */
import { attribute, check, createRng, DenseTensor, denseOf, Graph, GraphBuilder, type Model, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countJobs, network, samples, testTools, tokens, weightsOf, WIDTH } from '../testing.js';
import { clusterBySensitivity, clusterWeights } from './cluster-weights.js';
import { paletteJob } from './palette-job.js';

const { jobs, lossOf, outputsOf } = testTools(referenceEngine());

/** The weights that the graph computes from a palette. */
async function decoded(model: Model, name: string): Promise<number[]> {
  const value = [...model.graph.nodes()].flatMap((node) => node.outputs).find((output) => output.name === `${name}.turned`) ?? [...model.graph.nodes()].flatMap((node) => node.outputs).find((output) => output.name === `${name}.decoded`)!;
  model.graph.outputs.push(value);
  const values = [...(await outputsOf(model, tokens(1), value.name))];
  model.graph.outputs.pop();
  return values;
}

describe.each([1, 2, 3, 4, 5, 6, 7, 8])('%i bits', (bits) => {
  test.each(bits < 6 ? [undefined, 1, 16] : [undefined, 16])('with a codebook for %s outputs', async (outputs) => {
    const options = { bits, ...(outputs !== undefined && { outputs }) };
    const { model, records, warnings } = await clusterWeights(options).run(network(), { jobs });
    expect(check(model)).toEqual([]);
    expect(warnings.join()).toMatch(/not its computation/);
    const before = await weightsOf(network(), 'down');
    const record = records.find(({ name }) => name === 'down')!;
    if (record.method === 'none') {
      expect(record.note).toMatch(/larger/);
      return;
    }
    const after = await decoded(model, 'down');
    expect(new Set(after).size).toBeLessThanOrEqual(2 ** bits * (outputs === undefined ? 1 : WIDTH / outputs));
    const squared = before.reduce((sum, value, i) => sum + (value - after[i]!) ** 2, 0);
    expect(record.objective).toBeCloseTo(squared / 2, 4);
    expect(record.maxError).toBeCloseTo(Math.max(...before.map((value, i) => Math.abs(value - after[i]!))), 5);
    const stored = [...model.graph.initializers.values()].filter(({ name }) => /^down\.(places\d*|codebook)$/.test(name)).reduce((sum, { tensor }) => sum + tensor!.byteLength, 0);
    expect(record.bytesAfter).toBe(stored);
    expect(stored).toBeLessThan(before.length * 4 * 0.8);
    expect(model.graph.initializers.has('down')).toBe(false);
  });
});

describe('palettes', () => {
  test('lose less with more entries, and less of what matters by sensitivity', async () => {
    const loss = async (bits: number): Promise<number> => lossOf((await clusterWeights({ bits, embeddings: false }).run(network(), { jobs })).model);
    expect(await loss(4)).toBeLessThan(await loss(3));
    expect(await loss(3)).toBeLessThan(await loss(2));
    const { model, records } = await clusterBySensitivity({ bits: 2, embeddings: false }).run(network(), { jobs, samples });
    expect(records.every(({ method }) => method.startsWith('sensitivity'))).toBe(true);
    expect(await lossOf(model)).toBeGreaterThan(0);
    const table = await clusterBySensitivity({ bits: 2 }).run(network(), { jobs, samples });
    expect(table.records.find(({ name }) => name === 'table')).toMatchObject({ method: 'kmeans 4 entries', note: expect.stringContaining('looked up') as string });
  });

  test.each([clusterWeights, clusterBySensitivity])('are found at the same time where jobs run so, and are the same: %o', async (pass) => {
    const counted = countJobs(jobs, 3);
    const [alone, together] = await Promise.all([jobs, counted.jobs].map((host) => pass({ bits: 2 }).run(network(), { jobs: host, samples })));
    expect(together!.records).toEqual(alone!.records);
    expect(counted.most('paletteJob')).toBeGreaterThan(1);
    expect(counted.most('paletteJob')).toBeLessThanOrEqual(3);
  });

  test('weigh errors by the factors', async () => {
    const rng = createRng(4);
    const [rows, cols] = [24, 32];
    const weights = Array.from(Float32Array.from({ length: rows * cols }, (_, i) => rng.normal() * (1 + (i % 4))));
    const factors = Float64Array.from({ length: cols }, (_, i) => (i % 4 === 0 ? 50 : 1));
    const matrix = await jobs.refer(denseOf('float32', [rows, cols], weights));
    const [weighed, plain] = [await jobs.run(paletteJob, { matrix, groups: 2, entries: 4, factors }), await jobs.run(paletteJob, { matrix, groups: 2, entries: 4 })];
    const cost = (codebook: Float32Array, factorOf: (i: number) => number): number =>
      weights.reduce((sum, weight, i) => sum + factorOf(i) * Math.min(...codebook.subarray(i < (rows * cols) / 2 ? 0 : 4, i < (rows * cols) / 2 ? 4 : 8).map((entry) => (weight - entry) ** 2)), 0) / 2;
    expect(weighed.objective).toBeCloseTo(cost(weighed.codebook, (i) => factors[i % cols]!), 3);
    expect(weighed.objective).toBeLessThan(cost(plain.codebook, (i) => factors[i % cols]!));
    expect(plain.objective).toBeLessThan(cost(weighed.codebook, () => 1));
    await expect(jobs.run(paletteJob, { matrix, groups: 5, entries: 4 })).rejects.toThrow(/do not fit/);
  });

  test('of half floats, kernels and weights in subgraphs; not of old graphs, odd sizes or outputs', async () => {
    const model = network();
    const b = new GraphBuilder(model.graph);
    const numbers = (length: number): number[] => Array.from({ length }, (_, i) => Math.sin(i * i));
    const rows = model.graph.outputs[0]!;
    const branch = (name: string): Graph => {
      const graph = new Graph(name);
      const g = new GraphBuilder(graph);
      g.output(g.op('MatMul', [rows, g.initializer(`inner_${name}`, denseOf('float32', [48, 8], numbers(384)))]), `${name}_y`);
      return graph;
    };
    b.output(b.op('If', [b.input('which', tensorType('bool', []))], { then_branch: attribute.graph(branch('then')), else_branch: attribute.graph(branch('other')) }), 'chosen');
    b.output(b.op('Conv', [b.input('picture', tensorType('float32', [1, 8, 4, 4])), b.initializer('kernel', denseOf('float32', [6, 8, 3, 3], numbers(432)))]), 'features');
    const half = DenseTensor.of('float16', [16, 16], Uint16Array.from({ length: 256 }, (_, i) => 0x3000 + i * 8));
    b.output(b.op('MatMul', [b.input('halves', tensorType('float16', [1, 16])), b.initializer('half', half)]), 'product');
    b.output(b.op('MatMul', [b.input('three', tensorType('float32', [1, 3])), b.initializer('odd', denseOf('float32', [3, 9], numbers(27)))]), 'odds');
    const reference = network();
    const { records } = await clusterWeights({ bits: 4 }).run(model, { jobs });
    const methods = new Map(records.map(({ name, method, note }) => [name, method === 'none' ? note : method]));
    expect(methods.get('inner_then')).toBe('kmeans 16 entries');
    expect(methods.get('kernel')).toBe('kmeans 16 entries');
    expect(methods.get('half')).toBe('kmeans 16 entries');
    expect(methods.get('odd')).toMatch(/no whole bytes/);
    expect(check(model)).toEqual([]);
    expect(model.graph.initializers.get('half.codebook')!.tensor!.dtype).toBe('float16');
    reference.opsetImports.set('', 9);
    await expect(clusterWeights().run(reference, { jobs })).rejects.toThrow(/can become a palette: its graph is older than opset 11/);
  });

  test('of constant, broken and inactive weights, and of one sample', async () => {
    const model = network();
    const set = (name: string, values: (i: number) => number): void => void (model.graph.initializers.get(name)!.tensor = DenseTensor.of('float32', [WIDTH, 2 * WIDTH], Float32Array.from({ length: 2 * WIDTH * WIDTH }, (_, i) => values(i))));
    set('gate', () => 3);
    set('up', (i) => (i === 7 ? NaN : i === 9 ? Infinity : i % 5));
    const { records } = await clusterBySensitivity({ bits: 3 }).run(model, { jobs, samples: [{ tokens: denseOf('int64', [1], [3]) }] });
    const up = await decoded(model, 'up');
    expect(up.slice(5, 12)).toEqual([0, 1, 0, 3, 0, 0, 1]);
    expect((await decoded(model, 'gate')).every((value) => value === 3)).toBe(true);
    expect(records.find(({ name }) => name === 'up')!.note).toMatch(/2 values were not finite/);
    expect(records.every(({ snrDb }) => !Number.isNaN(snrDb))).toBe(true);
  });

  test('refuse what cannot be', async () => {
    expect(() => clusterWeights({ bits: 9 })).toThrow(/9 bits/);
    expect(() => clusterWeights({ outputs: 0 })).toThrow(/0 outputs/);
    await expect(clusterWeights().run(network(), {})).rejects.toThrow(/host for jobs/);
    await expect(clusterBySensitivity().run(network(), { jobs })).rejects.toThrow(/needs samples/);
    await expect(clusterWeights({ outputs: 7 }).run(network(), { jobs })).rejects.toThrow(/multiple of 7/);
  });

  test('are as good as the histogram says: any weights, any group', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -4, max: 4 }), { minLength: 64, maxLength: 64 }), fc.constantFrom(1, 2), async (values, bits) => {
        const model = network();
        model.graph.initializers.get('up')!.tensor = DenseTensor.of('float32', [WIDTH, 2 * WIDTH], Float32Array.from({ length: 2 * WIDTH * WIDTH }, (_, i) => values[i % 64]!));
        const { records } = await clusterWeights({ bits }).run(model, { jobs });
        const distinct = new Set(values.map(Math.fround)).size;
        const { objective } = records.find(({ name }) => name === 'up')!;
        expect(objective).toBeGreaterThanOrEqual(0);
        if (distinct === 1) expect(objective).toBeLessThan(1e-9);
      }),
      { numRuns: 20 },
    );
  });
});
