/** Weights on integer grids in WebAssembly against the plain twins: bit for bit, but the last digits of sums in double precision. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { anyWord, asFloats, canonical, firstDifference, placed, randomWords, weightWord } from '../../test/arbitraries.js';
import type { WeightGrid } from '../grid-kernels.js';
import type { Kernels } from '../kernels.js';
import { plainKernels } from '../plain/index.js';
import { wasmKernels } from './index.js';

const wasm = wasmKernels({ arenaBytes: 2 ** 20 });
const plain = plainKernels({ arenaBytes: 0 });

interface Case {
  readonly grid: WeightGrid;
  readonly latent: Float32Array;
  readonly gradients: Float32Array;
}

function compare({ grid, latent, gradients }: Case, inside: readonly boolean[] = [], skew = 0): void {
  const mark = wasm.arena.mark();
  const put = (array: Float32Array, i: number): Float32Array => placed(wasm, array.slice(), inside[i] === true, skew);
  const results = ([plain, wasm] as const).map((kernels: Kernels) => {
    const [to, g, sums] = [put(new Float32Array(latent.length), 0), put(gradients, 1), new Float32Array(grid.scales.length).fill(7)];
    const from = put(latent, 2);
    kernels.projectOnGrid({ from, to, grid });
    kernels.straightThrough({ gradients: g, latent: from, grid, sums });
    return { to: to.slice(), g: g.slice(), sums };
  });
  const [wanted, got] = results as [typeof results[0], typeof results[0]];
  for (const name of ['to', 'g'] as const) expect([name, firstDifference(canonical(got[name]), canonical(wanted[name]))]).toEqual([name, -1]);
  if (grid.inner > 1) expect(firstDifference(canonical(got.sums), canonical(wanted.sums))).toBe(-1);
  // what overflows or is no number depends on the order
  else {
    const term = terms(latent, gradients);
    if (term < 1e30 && wanted.sums.every(Number.isFinite)) expect(wanted.sums.findIndex((sum, i) => !(Math.abs(got.sums[i]! - sum) <= 1e-4 * Math.abs(sum) + 1e-5 * term))).toBe(-1);
  }
  wasm.arena.release(mark);
}

/** How large a term of a sum can be. */
function terms(latent: Float32Array, gradients: Float32Array): number {
  const [v, g] = [latent, gradients].map((array) => wasm.absMax(array)) as [number, number];
  return v * g;
}

it('projects and passes gradients as the plain twin does, in the arena and outside', () => {
  const sizes = fc.record({ outer: fc.integer({ min: 1, max: 3 }), length: fc.integer({ min: 1, max: 13 }), inner: fc.oneof(fc.constant(1), fc.integer({ min: 2, max: 11 })), block: fc.integer({ min: 1, max: 14 }) });
  fc.assert(fc.property(sizes, fc.integer({ min: 0, max: 2 ** 31 }), fc.boolean(), fc.boolean(), fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }), fc.nat(3), (size, seed, odd, zeros, inside, skew) => {
    const count = size.outer * size.length * size.inner;
    const blocks = size.outer * Math.ceil(size.length / size.block) * size.inner;
    const draw = (from: number, n: number, arbitrary: fc.Arbitrary<number>): Float32Array => asFloats(fc.sample(arbitrary, { numRuns: n, seed: seed + from }));
    const grid = { ...size, lowest: -2, highest: 1, scales: draw(1, blocks, weightWord), ...(zeros && { lowest: 0, highest: 15, zeros: Float32Array.from(randomWords(seed, blocks), (word) => word & 15) }) };
    if (odd) grid.scales[0] = 0;
    compare({ grid, latent: draw(2, count, odd ? anyWord : weightWord), gradients: draw(3, count, odd ? anyWord : weightWord) }, inside, skew);
  }));
});

it.each<Omit<WeightGrid, 'scales' | 'lowest' | 'highest'>>([
  { outer: 1, length: 300_001, inner: 1, block: 300_001 }, { outer: 1, length: 400_000, inner: 1, block: 32 }, { outer: 7, length: 30_001, inner: 1, block: 128 },
  { outer: 1, length: 130, inner: 2500, block: 32 }, { outer: 2, length: 5, inner: 20_003, block: 5 },
])('over more than one piece: %j', (layout) => {
  const count = layout.outer * layout.length * layout.inner;
  const floats = (seed: number, n: number): Float32Array => Float32Array.from(randomWords(seed, n), (word) => (word / 2 ** 32 - 0.5) * 8);
  const scales = floats(3, layout.outer * Math.ceil(layout.length / layout.block) * layout.inner).map((scale) => (scale + Math.sign(scale)) / 2);
  compare({ grid: { ...layout, lowest: -4, highest: 3, scales }, latent: floats(1, count), gradients: floats(2, count) });
});

it('rounds halves to even, and beyond the ends nothing passes', () => {
  for (const kernels of [wasm, plain]) {
    const grid = { outer: 1, length: 6, inner: 1, block: 6, lowest: -2, highest: 1, scales: Float32Array.of(2) };
    const to = new Float32Array(6);
    const from = Float32Array.of(1, 3, -1, -3, -5, 2.5);
    kernels.projectOnGrid({ from, to, grid });
    expect([...to].map((x) => x + 0)).toEqual([0, 2, 0, -4, -4, 2]);
    const gradients = new Float32Array(6).fill(1);
    const sums = new Float32Array(1);
    kernels.straightThrough({ gradients, latent: from, grid, sums });
    expect([...gradients]).toEqual([1, 0, 1, 1, 0, 0]);
    // (0 − 1) + 2 + (0 + 1) + (−4 + 3) − 4 + 2
    expect(sums[0]).toBe(-1);
  }
});

it.each([wasm, plain])('refuses sizes that do not fit ($name)', (kernels) => {
  const grid = { outer: 1, length: 6, inner: 1, block: 3, lowest: -2, highest: 1, scales: new Float32Array(2) };
  const weights = new Float32Array(6);
  expect(() => kernels.projectOnGrid({ from: weights, to: new Float32Array(5), grid })).toThrow(/6 and 5/);
  expect(() => kernels.projectOnGrid({ from: new Float32Array(5), to: new Float32Array(5), grid })).toThrow(/6 weights for 5/);
  expect(() => kernels.projectOnGrid({ from: weights, to: weights, grid: { ...grid, block: 2 } })).toThrow(/3 blocks with 2 scales/);
  expect(() => kernels.projectOnGrid({ from: weights, to: weights, grid: { ...grid, zeros: new Float32Array(1) } })).toThrow(/1 zero points/);
  expect(() => kernels.straightThrough({ gradients: weights, latent: weights, grid, sums: new Float32Array(1) })).toThrow(/1 and 2/);
  expect(() => kernels.projectOnGrid({ from: weights, to: weights, grid: { ...grid, inner: 0 } })).toThrow(/6 × 0/);
});
