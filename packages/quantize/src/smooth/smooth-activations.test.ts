/** SmoothQuant on the reference engine: the same outputs in floats, nearer ones in int8, and what it leaves alone. */
import { check, cloneModel, createRng, type DenseTensor, denseOf, type Feeds, GraphBuilder, inlineJobs, Model, type PassContext, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { quantizeDynamic } from '../dynamic/quantize-dynamic.js';
import { quantizeStatic } from '../static/quantize-static.js';
import { smoothActivations, type SmoothOptions } from './smooth-activations.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const WIDTH = 32;

/** A normalisation whose gains make outlier channels, a gated layer with outlier channels inside, a product that a residual sum shares, and a head. */
function network(norm: 'LayerNormalization' | 'RMSNormalization' | 'Mul' = 'LayerNormalization'): Model {
  const rng = createRng(3);
  const model = new Model();
  model.opsetImports.set('', 23);
  const b = new GraphBuilder(model.graph);
  const tensor = (rows: number, cols: number, scale = (_: number) => 1): DenseTensor => denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, (_, i) => (rng.normal() / Math.sqrt(rows)) * scale(i % cols)));
  const x = b.input('x', tensorType('float32', ['n', WIDTH]));
  const gain = b.initializer('gain', denseOf('float32', [WIDTH], Array.from({ length: WIDTH }, (_, i) => (i % 11 === 5 ? 60 : 1))));
  const shift = b.initializer('shift', denseOf('float32', [WIDTH], new Array<number>(WIDTH).fill(0.1)));
  const y = norm === 'Mul' ? b.op('Mul', [gain, x]) : b.op(norm, norm === 'LayerNormalization' ? [x, gain, shift] : [x, gain], { axis: -1 });
  const gate = b.op('Sigmoid', [b.op('MatMul', [y, b.initializer('gate', tensor(WIDTH, 2 * WIDTH))])]);
  const gated = b.op('Mul', [gate, b.op('MatMul', [y, b.initializer('up', tensor(WIDTH, 2 * WIDTH, (i) => (i % 13 === 4 ? 40 : 1)))])]);
  const sum: Value = b.op('Add', [x, b.op('MatMul', [gated, b.initializer('down', tensor(2 * WIDTH, WIDTH))])]);
  b.output(b.op('Add', [sum, b.op('Gemm', [sum, b.initializer('head', tensor(WIDTH, WIDTH)), b.initializer('bias', denseOf('float32', [WIDTH], new Array<number>(WIDTH).fill(0.5)))], { transB: 1 })]), 'y');
  return model;
}

function feeds(seed: number): Feeds {
  const rng = createRng(seed);
  return { x: denseOf('float32', [40, WIDTH], Array.from({ length: 40 * WIDTH }, () => rng.normal())) };
}

const context = (): PassContext => ({ jobs, samples: [feeds(1), feeds(2), feeds(3)] });
const smoothed = (model: Model, options: SmoothOptions = {}) => smoothActivations(options).run(cloneModel(model), context());

async function outputs(model: Model): Promise<number[]> {
  await using executor = await engine.load(model);
  return [...((await executor.run(feeds(9))).y as DenseTensor).data as Float32Array];
}

async function error(model: Model, wanted: readonly number[]): Promise<number> {
  return (await outputs(model)).reduce((sum, value, i) => sum + (value - wanted[i]!) ** 2, 0);
}

describe('smoothActivations', () => {
  test.each(['LayerNormalization', 'RMSNormalization', 'Mul'] as const)('keeps what the model computes, and int8 nearer to it: %s', async (norm) => {
    const original = network(norm);
    const wanted = await outputs(original);
    const { model, records, modified } = await smoothed(original);
    expect([check(model), modified]).toEqual([[], true]);
    const largest = Math.max(...wanted.map(Math.abs));
    for (const [i, value] of (await outputs(model)).entries()) expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-5 * largest);

    const notes = new Map(records.map((record) => [record.name, record]));
    for (const name of ['gate', 'up']) expect(notes.get(name)).toMatchObject({ method: 'smooth α 0.5', objective: expect.any(Number) as number, note: expect.stringMatching(/^factors in (LayerNorm|RMSNorm|Mul)/) as string });
    expect(notes.get('down')).toMatchObject({ method: 'smooth α 0.5', note: expect.stringMatching(/^factors in /) as string });
    // The sum is the end of a residual block: it is read by the output too.
    expect(notes.get('head')).toMatchObject({ method: 'none', note: expect.stringMatching(/^not smoothed: (nothing before it|int8 would lose)/) as string });

    for (const quantize of [quantizeStatic(), quantizeDynamic()]) {
      const plain = await quantize.run(cloneModel(original), context());
      const better = await quantize.run(cloneModel(model), context());
      expect(await error(better.model, wanted)).toBeLessThan(0.5 * (await error(plain.model, wanted)));
    }
  });

  test('by a Mul where a residual sum reads the activation too', async () => {
    const original = network();
    original.graph.initializers.get('head')!.tensor = denseOf('float32', [WIDTH, WIDTH], Array.from({ length: WIDTH * WIDTH }, (_, i) => (i % WIDTH === 3 ? 0.001 : 1) * Math.sin(i)));
    const wanted = await outputs(original);
    const { model, records } = await smoothed(original, { multiply: true });
    expect(check(model)).toEqual([]);
    expect(records.find(({ name }) => name === 'head')?.note).toMatch(/^factors in a Mul before it; /);
    const largest = Math.max(...wanted.map(Math.abs));
    for (const [i, value] of (await outputs(model)).entries()) expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-5 * largest);
  });

  test('α moves the range: the promised error has its least value between the ends', async () => {
    const promised = async (alpha: number): Promise<number> => (await smoothed(network(), { alpha })).records.find(({ name }) => name === 'gate')?.objective ?? Infinity;
    expect(await promised(0.5)).toBeLessThan(await promised(0));
    expect(await promised(0.5)).toBeLessThan(await promised(1));
    expect(() => smoothActivations({ alpha: 1.5 })).toThrow(/alpha is 1.5/);
  });

  test('leaves alone what others read, what is excluded, what is not finite; needs samples', async () => {
    const { records, warnings } = await smoothed(network(), { exclude: [/up|down/] });
    expect(new Map(records.map(({ name, note }) => [name, note])).get('gate')).toBe('not smoothed: up is excluded');
    expect(warnings).toEqual(['SmoothQuant changed nothing: see the notes of the weights']);
    const broken = network();
    broken.graph.initializers.get('gate')!.tensor = denseOf('float32', [WIDTH, 2 * WIDTH], new Array<number>(WIDTH * 2 * WIDTH).fill(NaN));
    const notes = new Map((await smoothed(broken)).records.map(({ name, note }) => [name, note]));
    expect(notes.get('up')).toMatch(/^not smoothed: 2048 of 2048 weights .* not finite/);
    expect(notes.get('down')).toMatch(/^not smoothed: the activation .* is not finite/);
    const shared = network();
    new GraphBuilder(shared.graph).output(new GraphBuilder(shared.graph).op('Identity', [shared.graph.initializers.get('gate')!]), 'table');
    expect((await smoothed(shared, { simplify: false })).records.find(({ name }) => name === 'gate')?.note).toMatch(/^not smoothed: Identity.* reads gate too/);
    await expect(smoothActivations().run(network(), { jobs })).rejects.toMatchObject({ code: 'E_DATA' });
    await expect(smoothActivations().run(network(), { samples: [feeds(1)] })).rejects.toMatchObject({ code: 'E_ENGINE' });
  });

  test('channels that hold nothing, and one constant sample, give factors that are finite', async () => {
    const model = network();
    const zeros = { x: denseOf('float32', [1, WIDTH], new Array<number>(WIDTH).fill(0)) };
    model.graph.initializers.get('shift')!.tensor = denseOf('float32', [WIDTH], new Array<number>(WIDTH).fill(0));
    const { model: result } = await smoothActivations().run(model, { jobs, samples: [zeros] });
    expect((await outputs(result)).every(Number.isFinite)).toBe(true);
  });
});
