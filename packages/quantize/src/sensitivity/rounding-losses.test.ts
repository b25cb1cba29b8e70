/** The losses of weights against the definition, on the reference engine. */
import { createRng, type DenseTensor, denseOf, type Feeds, GraphBuilder, inlineJobs, Model, tensorType } from '@penjing/core';
import { weightLosses } from '@penjing/core/calibrate';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { gptqWeights } from '../gptq/gptq-weights.js';
import { quantizeWeights } from '../quantize-weights.js';
import { candidateBytes, type WeightCandidate, weightCandidates } from './candidates.js';
import { probeLosses } from './probe-losses.js';
import { roundingLosses } from './rounding-losses.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const WIDTH = 32;
const OUTPUTS = 24;

/** Tokens → table → hidden → logits. */
function network(scale = 1): Model {
  const rng = createRng(3);
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number) => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => scale * rng.normal())));
  const x = b.op('Gather', [weight('table', 40, WIDTH), b.input('tokens', tensorType('int64', ['n']))]);
  const hidden = b.op('Relu', [b.op('MatMul', [x, weight('first', WIDTH, 2 * WIDTH)])]);
  b.output(b.op('MatMul', [hidden, weight('last', 2 * WIDTH, OUTPUTS)]), 'logits', tensorType('float32', ['n', OUTPUTS]));
  return model;
}

const rng = createRng(8);
const samples: Feeds[] = Array.from({ length: 3 }, () => ({ tokens: denseOf('int64', [50], Array.from({ length: 50 }, () => rng.below(40))) }));

async function logits(model: Model): Promise<number[]> {
  await using executor = await engine.load(model);
  const all: number[] = [];
  for (const feeds of samples) all.push(...((await executor.run(feeds)).logits as DenseTensor).data as Float32Array);
  return all;
}

const candidate = (method: WeightCandidate['method'], bits: 2 | 4 | 8): WeightCandidate => ({ method, bits, blockSize: 16, symmetric: false });
const measures = [roundingLosses([candidate('rtn', 8), candidate('rtn', 4), candidate('hqq', 4), candidate('gptq', 4), candidate('rtn', 2), candidate('gptq', 2)])];

describe('roundingLosses', () => {
  test('says what rounding the last layer does to the output, by each method', async () => {
    const found = await weightLosses(network(), { jobs, samples, measures });
    const last = found.find(({ name }) => name === 'last')!;
    expect(last).toMatchObject({ metric: 'hessian', elements: 2 * WIDTH * OUTPUTS, bytes: 8 * WIDTH * OUTPUTS });
    const wanted = await logits(network());
    for (const { candidate: { method, ...scheme }, error, snrDb } of last.candidates) {
      const pass = (method === 'gptq' ? gptqWeights : quantizeWeights)({ accuracyLevel: 1, layers: [{ match: 'last', method, ...scheme }, { match: /^/, method: 'none' }] });
      const { model } = await pass.run(network(), { jobs, samples });
      const got = await logits(model);
      const energy = got.reduce((sum, value, i) => sum + (value - wanted[i]!) ** 2, 0) / 150;
      expect(error / energy).toBeCloseTo(1, 2);
      expect(10 ** (snrDb / 10)).toBeCloseTo(wanted.reduce((sum, value) => sum + value ** 2, 0) / 150 / error, 0);
    }
    const by = (method: string, bits: number): number => last.candidates.find(({ candidate: one }) => one.method === method && one.bits === bits)!.error;
    expect(by('rtn', 8)).toBeLessThan(by('rtn', 4));
    expect(by('gptq', 4)).toBeLessThan(by('rtn', 4));
    expect(by('gptq', 2)).toBeLessThan(by('rtn', 2));
  });

  test('judges tables by themselves, without methods that need activations', async () => {
    const table = (await weightLosses(network(), { jobs, samples, measures })).find(({ name }) => name === 'table')!;
    expect(table).toMatchObject({ metric: 'identity', trace: 1 });
    expect(table.candidates.map(({ candidate: { method } }) => method)).toEqual(['rtn', 'rtn', 'hqq', 'rtn']);
  });

  test('a sample of the outputs stands for all of them', async () => {
    const [all, some] = [await weightLosses(network(), { jobs, samples, measures }), await weightLosses(network(), { jobs, samples, measures, outputs: 12 })];
    for (const [i, weight] of all.entries()) {
      for (const [at, { error }] of weight.candidates.entries()) expect(some[i]!.candidates[at]!.error / error).toBeCloseTo(1, -0.1);
    }
  });

  test('weights that are no numbers have no candidates, and say why', async () => {
    const found = await weightLosses(network(Number.NaN), { jobs, samples, measures });
    for (const { candidates: none, note } of found) expect([none.length, note]).toEqual([0, 'the weight holds values that are not finite']);
    await expect(weightLosses(network(), { jobs, samples: [], measures })).rejects.toMatchObject({ code: 'E_DATA' });
  });
});

test('a probe loses what the model with the rounded weight loses', async () => {
  const probes = new Map([['table', [candidate('rtn', 4)]], ['first', [candidate('rtn', 8), candidate('rtn', 2)]], ['last', [candidate('rtn', 4)]]]);
  const wanted = await logits(network());
  for (const metric of ['energy', 'divergence'] as const) {
    const found = await probeLosses(network(), { jobs, samples, metric, probes });
    expect([...found.keys()].sort()).toEqual(['first', 'last', 'table']);
    for (const [name, losses] of found) {
      for (const [i, { method: _method, ...scheme }] of probes.get(name)!.entries()) {
        const { model } = await quantizeWeights({ ...scheme, accuracyLevel: 1, layers: [{ match: name }, { match: /^/, method: 'none' }] }).run(network(), {});
        const got = await logits(model);
        expect(losses[i]! / (metric === 'energy' ? energyRatio(got, wanted) : divergence(got, wanted))).toBeCloseTo(1, 2);
      }
    }
  }
  await expect(probeLosses(network(), { jobs, samples: [], metric: 'energy', probes })).rejects.toMatchObject({ code: 'E_DATA' });
});

function energyRatio(got: readonly number[], wanted: readonly number[]): number {
  return got.reduce((sum, value, i) => sum + (value - wanted[i]!) ** 2, 0) / wanted.reduce((sum, value) => sum + value ** 2, 0);
}

/** Mean KL over the rows. */
function divergence(got: readonly number[], wanted: readonly number[]): number {
  let sum = 0;
  for (let start = 0; start < wanted.length; start += OUTPUTS) {
    const shares = (all: readonly number[]): number[] => {
      const exps = all.slice(start, start + OUTPUTS).map((value) => Math.exp(value - Math.max(...all.slice(start, start + OUTPUTS))));
      const total = exps.reduce((left, value) => left + value, 0);
      return exps.map((value) => value / total);
    };
    const [p, q] = [shares(wanted), shares(got)];
    sum += p.reduce((left, value, i) => left + (value > 0 ? value * Math.log(value / q[i]!) : 0), 0);
  }
  return sum / (wanted.length / OUTPUTS);
}

test('the bytes of a candidate are those that are stored', async () => {
  for (const { method: _method, ...scheme } of weightCandidates) {
    const { records } = await quantizeWeights({ ...scheme, layers: [{ match: 'last' }, { match: /^/, method: 'none' }] }).run(network(), {});
    const record = records.find(({ name }) => name === 'last')!;
    if (record.method !== 'none') expect(record.bytesAfter).toBe(candidateBytes(scheme, OUTPUTS, 2 * WIDTH));
  }
});
