/** Low rank on the reference engine: what it stores, what it says that it reached, each metric against the one to its left. */
import { assertSound, attribute, cloneModel, createRng, DenseTensor, denseOf, type Feeds, type Graph, GraphBuilder, inlineJobs, Model, type PassContext, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { countJobs } from '../testing.js';
import { lowRank, type LowRankOptions } from './low-rank.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const WIDTH = 24;
const ROWS = 40;

/** Two matrices on one activation, one after them, a Gemm with everything, and one in the branches of an If. */
function network(): Model {
  const rng = createRng(5);
  const model = new Model();
  model.irVersion = 8;
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, rows: number, cols: number) => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, () => rng.normal() / Math.sqrt(rows))));
  const x = b.input('x', tensorType('float32', ['n', WIDTH]));
  const gated = b.op('Mul', [b.op('Relu', [b.op('MatMul', [x, weight('gate', WIDTH, 2 * WIDTH)])]), b.op('MatMul', [x, weight('up', WIDTH, 2 * WIDTH)])]);
  const y = b.op('Add', [x, b.op('MatMul', [gated, weight('down', 2 * WIDTH, WIDTH)])]);
  const z = b.op('Gemm', [y, weight('head', 30, WIDTH), b.initializer('bias', denseOf('float32', [30], Array.from({ length: 30 }, () => rng.normal())))], { transB: 1, alpha: 0.5, beta: attribute.float(2) });
  const inner = weight('inner', 30, 20);
  const branch = (name: string): Graph => b.subgraph(name, () => [b.op('MatMul', [z, inner])]);
  b.output(b.op('If', [b.input('condition', tensorType('bool', [])), null].slice(0, 1), { then_branch: { kind: 'graph', value: branch('then') }, else_branch: { kind: 'graph', value: branch('else') } }), 'result');
  return model;
}

/** Activations whose channels differ in size and go together. */
function sample(seed: number): Feeds {
  const rng = createRng(seed);
  const data: number[] = [];
  for (let row = 0; row < ROWS; row++) {
    const common = rng.normal();
    for (let i = 0; i < WIDTH; i++) data.push((rng.normal() * 0.3 + common * Math.cos(i)) * (i % 6 === 1 ? 4 : 1));
  }
  return { x: denseOf('float32', [ROWS, WIDTH], data), condition: denseOf('bool', [], [seed % 2]) };
}

const context = (): PassContext => ({ jobs, samples: [sample(1), sample(2), sample(3)] });

async function run(model: Model, feeds: Feeds): Promise<Float32Array> {
  await using executor = await engine.load(model);
  return ((await executor.run(feeds)).result as DenseTensor).data as Float32Array;
}

async function error(model: Model): Promise<number> {
  let sum = 0;
  for (const seed of [11, 12]) {
    const wanted = await run(network(), sample(seed));
    const got = await run(model, sample(seed));
    got.forEach((value, i) => (sum += (value - wanted[i]!) ** 2));
  }
  return sum;
}

/** Data of a weight as (inputs, outputs), or the product of its factors. */
function matrixOf(model: Model, name: string, turned: boolean): { data: Float32Array; rows: number; cols: number } {
  const stored = (part: string): { data: Float32Array; shape: readonly number[] } | undefined => {
    const tensor = model.graph.initializers.get(part)?.tensor as DenseTensor | undefined;
    return tensor && { data: tensor.data as Float32Array, shape: tensor.shape };
  };
  const whole = stored(name);
  if (whole && !turned) return { data: whole.data, rows: whole.shape[0]!, cols: whole.shape[1]! };
  if (whole) {
    const [cols, rows] = whole.shape as [number, number];
    return { data: whole.data.map((_, k) => whole.data[(k % cols) * rows + Math.floor(k / cols)]!), rows, cols };
  }
  const down = stored(`${name}.down`)!;
  const up = stored(`${name}.up`)!;
  const [rows, rank] = down.shape as [number, number];
  const cols = up.shape[1]!;
  const data = new Float32Array(rows * cols);
  for (let i = 0; i < rows; i++) for (let k = 0; k < rank; k++) for (let j = 0; j < cols; j++) data[i * cols + j]! += down.data[i * rank + k]! * up.data[k * cols + j]!;
  return { data, rows, cols };
}

/** ½ Σ over the rows of the samples of (x (w − w*))². */
async function outputError(model: Model, name: string, squares: (i: number) => number): Promise<number> {
  const a = matrixOf(network(), name, false);
  const b = matrixOf(model, name, false);
  let sum = 0;
  for (let i = 0; i < a.rows; i++) for (let j = 0; j < a.cols; j++) sum += squares(i) * (a.data[i * a.cols + j]! - b.data[i * a.cols + j]!) ** 2;
  return sum / 2;
}

test.each([{ rank: 4 }, { ratio: 0.5, scope: 'global' }] as const)('plain factors are found at the same time where jobs run so: %o', async (ranks) => {
  const counted = countJobs(jobs, 3);
  const [alone, together] = await Promise.all([jobs, counted.jobs].map((host) => lowRank(ranks).run(network(), { jobs: host })));
  expect(together!.records).toEqual(alone!.records);
  expect(await error(together!.model)).toBe(await error(alone!.model));
  expect(counted.most('spectrumJob')).toBe(3);
  expect(counted.most('factorsJob')).toBe(3);
});

describe('lowRank', () => {
  test.each<LowRankOptions>([
    { ratio: 0.5 }, { rank: 5 }, { energy: 0.7 }, { ratio: 0.6, scope: 'global' },
    { method: 'asvd', ratio: 0.5 }, { method: 'asvd', ratio: 0.5, alpha: 1 }, { method: 'svd-llm', ratio: 0.5 }, { method: 'svd-llm', energy: 0.9 }, { method: 'svd-llm', ratio: 0.5, scope: 'global' },
  ])('stores less, stays sound, and says what it did: %j', async (options) => {
    const original = network();
    const { model, records, modified } = await lowRank(options).run(cloneModel(original), context());
    expect(modified).toBe(true);
    assertSound(model);
    expect(records.map(({ name }) => name).sort()).toEqual(['down', 'gate', 'head', 'inner', 'up']);
    const bytes = (which: Model): number => [...which.graph.initializers.values()].reduce((sum, value) => sum + value.tensor!.byteLength, 0);
    expect(bytes(model)).toBe(bytes(original) - records.reduce((sum, { bytesBefore, bytesAfter }) => sum + bytesBefore - bytesAfter, 0));
    for (const record of records) {
      if (record.method === 'none') continue;
      expect(record.bytesAfter).toBeLessThan(record.bytesBefore);
      expect(record.objective).toBeGreaterThan(0);
      expect(record.snrDb).toBeGreaterThan(0);
      if (record.name === 'inner' && options.method) expect(record).toMatchObject({ method: expect.stringMatching(/^svd rank/) as string, note: expect.stringContaining('subgraph') as string });
      else expect(record.method).toMatch(new RegExp(`^${options.method ?? 'svd'} rank`));
    }
    expect(Number.isFinite(await error(model))).toBe(true);
  });

  test('reports its objective in its own metric, and there it beats the metric to its left', async () => {
    const squares = new Float64Array(WIDTH);
    for (const seed of [1, 2, 3]) (sample(seed).x as DenseTensor).data.forEach((value, i) => (squares[i % WIDTH]! += Number(value) ** 2));
    const plain = await lowRank({ rank: 6 }).run(network(), context());
    const scaled = await lowRank({ method: 'asvd', alpha: 1, rank: 6 }).run(network(), context());
    const whitened = await lowRank({ method: 'svd-llm', rank: 6 }).run(network(), context());
    const objective = ({ records }: typeof plain, name: string): number => records.find((record) => record.name === name)!.objective!;
    for (const name of ['gate', 'up']) {
      expect(objective(plain, name)).toBeCloseTo(await outputError(plain.model, name, () => 1), 3);
      expect(objective(scaled, name) / (await outputError(scaled.model, name, (i) => squares[i]! / (3 * ROWS)))).toBeCloseTo(1, 2);
      expect(objective(scaled, name)).toBeLessThan(await outputError(plain.model, name, (i) => squares[i]! / (3 * ROWS)));
    }
    expect(await error(whitened.model)).toBeLessThan(0.7 * (await error(plain.model)));
    expect(await error(whitened.model)).toBeLessThan(await error(scaled.model));
  });

  test('a whole rank gives the matrix back', async () => {
    const rng = createRng(1);
    const model = network();
    // rank 3, as every one of its factors can hold
    const [a, b] = [Array.from({ length: 3 * WIDTH }, () => rng.normal()), Array.from({ length: 6 * WIDTH }, () => rng.normal())];
    const product = Array.from({ length: 2 * WIDTH * WIDTH }, (_, k) => [0, 1, 2].reduce((sum, r) => sum + a[Math.floor(k / (2 * WIDTH)) * 3 + r]! * b[r * 2 * WIDTH + (k % (2 * WIDTH))]!, 0));
    model.graph.initializers.get('gate')!.tensor = denseOf('float32', [WIDTH, 2 * WIDTH], product);
    for (const method of ['svd', 'asvd', 'svd-llm'] as const) {
      const { records } = await lowRank({ method, energy: 0.999999, exclude: ['up', 'down', /head/, 'inner'] }).run(cloneModel(model), context());
      expect(records.find(({ name }) => name === 'gate')).toMatchObject({ method: `${method} rank 3` });
      expect(records.find(({ name }) => name === 'gate')!.snrDb).toBeGreaterThan(90);
      expect(records.find(({ name }) => name === 'up')).toMatchObject({ method: 'none', note: 'excluded' });
    }
  });

  test('falls back with a note, or refuses by name', async () => {
    const broken = network();
    const gate = broken.graph.initializers.get('gate')!;
    gate.tensor = DenseTensor.of('float32', [WIDTH, 2 * WIDTH], new Float32Array(2 * WIDTH * WIDTH).fill(NaN));
    const { model, records } = await lowRank({ method: 'svd-llm', ratio: 0.5 }).run(broken, context());
    const record = (name: string) => records.find((item) => item.name === name)!;
    expect(record('gate')).toMatchObject({ method: 'none', note: expect.stringContaining('not finite') as string });
    expect(record('down')).toMatchObject({ method: expect.stringMatching(/^svd rank/) as string, note: expect.stringContaining('by plain SVD') as string });
    for (const { name, tensor } of model.graph.initializers.values()) if (name !== 'gate') expect(((tensor as DenseTensor).data as Float32Array).every(Number.isFinite), name).toBe(true);

    const silent = await lowRank({ method: 'svd-llm', ratio: 0.5 }).run(network(), { jobs, samples: [{ x: denseOf('float32', [2, WIDTH], new Array<number>(2 * WIDTH).fill(0)), condition: denseOf('bool', [], [1]) }] });
    expect(silent.records.find(({ name }) => name === 'gate')).toMatchObject({ objective: expect.any(Number) as number, note: expect.stringContaining('never active') as string });
    expect(Number.isFinite(await error(silent.model))).toBe(true);

    await expect(lowRank({ method: 'asvd', ratio: 0.5 }).run(network(), { jobs })).rejects.toMatchObject({ code: 'E_DATA' });
    await expect(lowRank({ ratio: 0.5 }).run(network(), {})).rejects.toMatchObject({ code: 'E_ENGINE' });
    await expect(lowRank({ ratio: 0.5, exclude: [/./] }).run(network(), { jobs })).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
    expect(() => lowRank({})).toThrow(/one of rank, ratio and energy/);
    expect(() => lowRank({ ratio: 0.5, rank: 3 })).toThrow(/one of rank, ratio and energy/);
    expect(() => lowRank({ ratio: 1 })).toThrow(/ratio of 1/);
    expect(() => lowRank({ rank: 0.5 })).toThrow(/rank of 0.5/);
    expect(() => lowRank({ rank: 3, scope: 'global' })).toThrow(/a ratio/);
    expect(() => lowRank({ ratio: 0.5, alpha: 2 })).toThrow(/alpha of 2/);
  });
});
