/** Sparse storage on the reference engine: what is stored, what it computes, what stays dense and why. */
import { check, denseOf, DenseTensor, Graph, GraphBuilder, inlineJobs, Model, type SparseTensor, type Tensor, tensorType, attribute } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { plainKernels } from '@penjing/kernels';
import { expect, test } from 'vitest';
import { network, testTools, tokens, samples } from '../testing.js';
import { sparseGpt } from './calibrated-prune.js';
import { gatherJob } from './gather-job.js';
import { magnitudePrune } from './magnitude-prune.js';
import { storeSparse } from './store-sparse.js';

const { jobs, outputsOf } = testTools(referenceEngine());

const bytesOf = (model: Model): number => [...model.graph.initializers.values()].reduce((sum, { tensor }) => sum + tensor!.byteLength, 0);

test.each([['magnitude', magnitudePrune({ sparsity: 0.9 })], ['a pattern', magnitudePrune({ pattern: '1:8' })], ['SparseGPT', sparseGpt({ sparsity: 0.9 })]] as const)('%s: the same outputs from fewer bytes', async (_, pass) => {
  const dense = await pass.run(network(), { jobs, samples });
  const { model, records, warnings } = await storeSparse(pass).run(network(), { jobs, samples });
  expect(check(model)).toEqual([]);
  const tensor = model.graph.initializers.get('up')!.tensor as SparseTensor;
  expect(tensor.kind).toBe('sparse');
  expect(await outputsOf(model, tokens(4), 'logits')).toEqual(await outputsOf(dense.model, tokens(4), 'logits'));
  expect(bytesOf(model)).toBeLessThan(bytesOf(dense.model) * 0.75);
  const record = records.find(({ name }) => name === 'up')!;
  expect(record.bytesAfter).toBe(tensor.byteLength);
  expect(record.measuredBy).toBeUndefined();
  expect(record.sparsity).toBeGreaterThan(0.84);
  expect(record.snrDb).toBeGreaterThan(0);
  expect(record.objective).toBeGreaterThan(0);
  expect(warnings).toEqual([expect.stringMatching(/the file is smaller/)]);
});

test('weights with too few zeros stay dense, and are named; nothing gained is an error', async () => {
  const mixed = sparseGpt({ sparsity: 0.9, layers: [{ match: ['up'], sparsity: 0.5 }] });
  const { model, records } = await storeSparse(mixed).run(network(), { jobs, samples });
  expect(model.graph.initializers.get('up')!.tensor!.kind).not.toBe('sparse');
  expect(records.find(({ name }) => name === 'up')!.note).toMatch(/stored dense: sparse it would take 12288 bytes instead of 8192/);
  await expect(storeSparse(magnitudePrune({ sparsity: 0.5 })).run(network(), { jobs })).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
  await expect(storeSparse(magnitudePrune({ sparsity: 0.9 })).run(network(), {})).rejects.toMatchObject({ code: 'E_ENGINE' });
  const { records: full } = await storeSparse(magnitudePrune({ sparsity: 0.9 }), { mostBytes: 3000 }).run(network(), { jobs });
  expect(full.filter(({ note }) => note?.includes('no more fit there')).length).toBeGreaterThan(0);
});

test('weights of a branch are stored sparse too', async () => {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['n', 8]));
  const branch = (name: string): Graph => {
    const graph = new Graph();
    const inner = new GraphBuilder(graph);
    inner.output(inner.op('MatMul', [x, inner.initializer(name, denseOf('float32', [8, 8], Array.from({ length: 64 }, (_, i) => i)))]), `${name}.out`);
    return graph;
  };
  b.output(b.op('If', [b.input('yes', tensorType('bool', []))], { then_branch: attribute.graph(branch('a')), else_branch: attribute.graph(branch('b')) }), 'y', tensorType('float32', ['n', 8]));
  const { model: stored } = await storeSparse(magnitudePrune({ sparsity: 0.75 })).run(model, { jobs });
  expect(check(stored)).toEqual([]);
  const y = await outputsOf(stored, { x: denseOf('float32', [1, 8], [0, 0, 0, 0, 0, 0, 1, 1]), yes: denseOf('bool', [], [1]) }, 'y');
  expect([...y]).toEqual([48 + 56, 49 + 57, 50 + 58, 51 + 59, 52 + 60, 53 + 61, 54 + 62, 55 + 63]);
});

test('half floats are gathered by their bits; NaN is no zero', async () => {
  const inline = inlineJobs({ engine: referenceEngine(), kernels: plainKernels() });
  // 0, −0, 1, NaN
  const half: Tensor = DenseTensor.of('float16', [4], Uint16Array.of(0, 0x8000, 0x3c00, 0x7e00));
  const { nonZeros, coordinates } = await inline.run(gatherJob, { weight: await inline.refer(half), most: 100 });
  expect(nonZeros).toBe(2);
  expect([...((await inline.tensor(coordinates!.indices)) as DenseTensor).data]).toEqual([2n, 3n]);
  expect([...((await inline.tensor(coordinates!.values)) as DenseTensor).data]).toEqual([0x3c00, 0x7e00]);
});
