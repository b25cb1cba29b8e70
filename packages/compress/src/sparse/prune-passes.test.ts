/** Pruning passes on the reference engine: what becomes of weights and outputs, their records, and what cannot be done. */
import { attribute, check, createRng, DenseTensor, denseOf, Graph, GraphBuilder, type Pass, tensorType, type WeightRecord } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import { network, samples, testTools, tokens, weightsOf, WIDTH } from '../testing.js';
import { sparseGpt, wanda } from './calibrated-prune.js';
import { magnitudePrune } from './magnitude-prune.js';

const { jobs, lossOf } = testTools(referenceEngine());
const share = (values: readonly number[]): number => values.filter((value) => value === 0).length / values.length;
const recordOf = (records: readonly WeightRecord[], name: string): WeightRecord => records.find((record) => record.name === name)!;

describe('magnitude', () => {
  test('takes the smallest weights of each, or of all', async () => {
    const before = await weightsOf(network(), 'down');
    const { model, records, warnings } = await magnitudePrune({ sparsity: 0.6 }).run(network(), { jobs });
    const after = await weightsOf(model, 'down');
    const limit = [...before].map(Math.abs).sort((a, b) => a - b)[Math.round(0.6 * before.length)]!;
    expect(after).toEqual(before.map((value) => (Math.abs(value) >= limit ? value : 0)));
    const { objective, sparsity, snrDb, maxError, method } = recordOf(records, 'down');
    expect(sparsity).toBeCloseTo(share(after), 9);
    expect(objective).toBeCloseTo(before.reduce((sum, value, i) => sum + (value - after[i]!) ** 2, 0) / 2, 6);
    expect(snrDb).toBeGreaterThan(3);
    expect(maxError).toBeLessThan(limit);
    expect(method).toBe('magnitude 60 %');
    expect(recordOf(records, 'table')).toBeUndefined();
    expect(warnings.join()).toMatch(/nothing faster/);
    const names = ['gate', 'up', 'down', 'head'];
    const global = await magnitudePrune({ sparsity: 0.6, scope: 'global' }).run(network(), { jobs });
    const shares = await Promise.all(names.map(async (name) => share(await weightsOf(global.model, name))));
    expect(new Set(shares).size).toBeGreaterThan(1);
    const sizes = await Promise.all(names.map(async (name) => (await weightsOf(global.model, name)).length));
    expect(shares.reduce((sum, part, i) => sum + part * sizes[i]!, 0) / sizes.reduce((a, b) => a + b, 0)).toBeCloseTo(0.6, 3);
    expect(recordOf(global.records, 'up').sparsity).toBeCloseTo(shares[1]!, 9);
  });

  test('keeps a pattern along the inputs, also of kernels, without jobs', async () => {
    const model = network();
    const b = new GraphBuilder(model.graph);
    const rng = createRng(2);
    const kernel = b.initializer('kernel', denseOf('float32', [3, 8, 2, 2], Array.from({ length: 96 }, () => rng.normal())));
    const deep = b.initializer('deep', denseOf('float32', [8, 1, 2, 2], Array.from({ length: 32 }, () => rng.normal())));
    const x = b.input('picture', tensorType('float32', [1, 8, 4, 4]));
    b.output(b.op('Conv', [b.op('Conv', [x, deep], { group: 8, pads: [0, 0, 1, 1] }), kernel]), 'features');
    const { records } = await magnitudePrune({ pattern: '2:4' }).run(model, {});
    const up = await weightsOf(model, 'up'); // (inputs, outputs)
    for (let c = 0; c < 2 * WIDTH; c++) for (let k = 0; k < WIDTH; k += 4) expect([0, 1, 2, 3].filter((i) => up[(k + i) * 2 * WIDTH + c] === 0)).toHaveLength(2);
    const head = await weightsOf(model, 'head'); // (outputs, inputs)
    for (let k = 0; k < head.length; k += 4) expect(head.slice(k, k + 4).filter((value) => value === 0)).toHaveLength(2);
    const convolved = await weightsOf(model, 'kernel');
    for (let o = 0; o < 3; o++) for (let i = 0; i < 8; i += 4) for (let at = 0; at < 4; at++) expect([0, 1, 2, 3].filter((j) => convolved[(o * 8 + i + j) * 4 + at] === 0)).toHaveLength(2);
    expect(recordOf(records, 'deep')).toMatchObject({ method: 'none', note: expect.stringContaining('too few') as string });
    expect(recordOf(records, 'up')).toMatchObject({ method: 'magnitude 2:4', sparsity: 0.5, measuredBy: 'up' });
    expect(check(model)).toEqual([]);
  });

  test('takes constant, empty and broken weights', async () => {
    const model = network();
    const set = (name: string, value: number): void => void (model.graph.initializers.get(name)!.tensor = DenseTensor.of('float32', [WIDTH, 2 * WIDTH], new Float32Array(2 * WIDTH * WIDTH).fill(value)));
    set('gate', 3);
    set('up', NaN);
    const { records } = await magnitudePrune({ sparsity: 0.7 }).run(model, { jobs });
    expect(recordOf(records, 'gate')).toMatchObject({ sparsity: 0, note: expect.stringContaining('same magnitude') as string });
    expect(share(await weightsOf(model, 'gate'))).toBe(0);
    expect(recordOf(records, 'up').note).toMatch(/2048 values were not finite/);
    expect(share(await weightsOf(model, 'up'))).toBe(1);
  });
});

describe.each([['wanda', wanda], ['sparsegpt', sparseGpt]] as const)('%s', (name, method) => {
  test.each([{ sparsity: 0.5 }, { pattern: '2:4' }])('keeps the outputs closer than magnitude: %j', async (options) => {
    const { model, records } = await method(options).run(network(), { jobs, samples });
    const magnitude = await magnitudePrune(options).run(network(), { jobs });
    expect(await lossOf(model)).toBeLessThan(await lossOf(magnitude.model));
    for (const weight of ['gate', 'up', 'down', 'head']) {
      expect(share(await weightsOf(model, weight))).toBeCloseTo(0.5, 2);
      expect(recordOf(records, weight)).toMatchObject({ method: expect.stringContaining(name) as string, objective: expect.any(Number) as number });
      expect(recordOf(records, weight).sparsity).toBeCloseTo(0.5, 2);
    }
    expect(check(model)).toEqual([]);
  });

  test('falls back to magnitude where there are no numbers, and in subgraphs', async () => {
    const model = network();
    model.graph.initializers.get('gate')!.tensor = DenseTensor.of('float32', [WIDTH, 2 * WIDTH], new Float32Array(2 * WIDTH * WIDTH).fill(3e38));
    const b = new GraphBuilder(model.graph);
    const rows = model.graph.outputs[0]!;
    const branch = (name: string): Graph => {
      const graph = new Graph(name);
      const g = new GraphBuilder(graph);
      g.output(g.op('MatMul', [rows, g.initializer(`inner_${name}`, denseOf('float32', [48, 4], Array.from({ length: 192 }, (_, at) => Math.sin(at + name.length))))]), `${name}_y`);
      return graph;
    };
    b.output(b.op('If', [b.input('which', tensorType('bool', []))], { then_branch: attribute.graph(branch('then')), else_branch: attribute.graph(branch('other')) }), 'chosen');
    const { records } = await method({ sparsity: 0.5 }).run(model, { jobs, samples: samples.map((feeds) => ({ ...feeds, which: denseOf('bool', [], [1]) })) });
    expect(recordOf(records, 'down').note).toMatch(/by magnitude: .*not finite/);
    expect(recordOf(records, 'inner_then')).toMatchObject({ method: 'magnitude 50 %', note: expect.stringContaining('subgraph') as string });
    expect(recordOf(records, 'up').method).toMatch(name);
    for (const weight of ['gate', 'up', 'down', 'head']) expect((await weightsOf(model, weight)).every(Number.isFinite)).toBe(true);
  });

  test('runs on one sample of one row, and names what is missing', async () => {
    const one = [{ tokens: denseOf('int64', [1], [7]) }];
    const { model, records } = await method({ sparsity: 0.5 }).run(network(), { jobs, samples: one });
    for (const weight of ['gate', 'up', 'down', 'head']) expect((await weightsOf(model, weight)).every(Number.isFinite)).toBe(true);
    expect(recordOf(records, 'down').note).toMatch(/never active/);
    const run = (pass: Pass, context: Parameters<Pass['run']>[1]) => pass.run(network(), context);
    await expect(run(method({ sparsity: 0.5 }), { jobs })).rejects.toThrow(/needs samples/);
    await expect(run(method({ sparsity: 0.5 }), { samples })).rejects.toThrow(/host for jobs/);
    await expect(run(method({ sparsity: 0.5 }), { jobs, samples: [] })).rejects.toThrow(/no samples/);
    await expect(run(method({ sparsity: 0.5 }), { jobs, samples: [{ x: tokens(1).tokens! }] })).rejects.toThrow(/no tensor for the input tokens/);
    await expect(run(method({ sparsity: 0.5 }), { jobs, samples: [{ tokens: denseOf('float32', [2], [1, 2]) }] })).rejects.toThrow();
    await expect(run(method({ sparsity: 0.5, exclude: [/./] }), { jobs, samples })).rejects.toThrow(/can be pruned: excluded/);
    expect(() => method({})).toThrow(/not said/);
    expect(() => method({ sparsity: 1 })).toThrow(/sparsity of 1/);
    expect(() => method({ pattern: '4:2' })).toThrow(/4:2 is no pattern/);
    expect(() => method({ pattern: '2:4', sparsity: 0.5 })).toThrow(/exclude each other/);
  });
});
