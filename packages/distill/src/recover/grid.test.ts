/** Projections on grids and the gradients of step sizes, against definitions written down plainly. */
import { createRng } from '@penjing/core';
import { expect, test } from 'vitest';
import { type Grid, project, scaleCount, straightThrough } from './grid.js';
import { stepOf } from './grid-job.js';

const rng = createRng(11);
const layouts: Readonly<Record<string, Grid>> = {
  'per tensor': { outer: 1, length: 30, inner: 1, block: 30, lowest: -7, highest: 7 },
  'per channel, first axis': { outer: 5, length: 6, inner: 1, block: 6, lowest: -8, highest: 7 },
  'per channel, last axis': { outer: 1, length: 6, inner: 5, block: 6, lowest: -2, highest: 1 },
  'per block, the last one short': { outer: 2, length: 10, inner: 3, block: 4, lowest: 0, highest: 15, zeros: Float32Array.from({ length: 18 }, () => rng.below(16)) },
};

/** Where weight i lies: its block. */
function blockOf({ length, inner, block }: Grid, i: number): number {
  const [o, k, j] = [Math.floor(i / (length * inner)), Math.floor(i / inner) % length, i % inner];
  return (o * Math.ceil(length / block) + Math.floor(k / block)) * inner + j;
}

test.each(Object.entries(layouts))('%s', (_, grid) => {
  const count = grid.outer * grid.length * grid.inner;
  // one negative, as ONNX Runtime's symmetric scales may be
  const scales = Float32Array.from({ length: scaleCount(grid) }, (__, i) => (i === 1 ? -1 : 1) * (0.1 + 0.1 * rng.uniform()));
  const latent = Float32Array.from({ length: count }, () => rng.normal());
  const gradient = Float32Array.from({ length: count }, () => rng.normal());
  const rounded = new Float32Array(count);
  project(latent, rounded, scales, grid);
  const passed = gradient.slice();
  const sums = straightThrough(passed, latent, scales, grid);

  const expected = new Float64Array(scales.length);
  const factor = 1 / Math.sqrt(Math.min(grid.length, grid.block) * Math.floor((grid.highest - grid.lowest) / 2));
  for (let i = 0; i < count; i++) {
    const b = blockOf(grid, i);
    const zero = grid.zeros?.[b] ?? 0;
    const v = latent[i]! / scales[b]!;
    const code = Math.min(grid.highest - zero, Math.max(grid.lowest - zero, Math.round(v)));
    expect(rounded[i]).toBeCloseTo(scales[b]! * code, 5);
    const inside = v >= grid.lowest - zero && v <= grid.highest - zero;
    expect(passed[i]).toBe(inside ? gradient[i] : 0);
    // Equation 3 of the paper, times the scale: the gradient by its logarithm.
    expected[b]! += factor * gradient[i]! * scales[b]! * (inside ? code - v : code);
  }
  sums.forEach((sum, b) => expect(sum).toBeCloseTo(expected[b]!, 4));
});

test('halves are rounded to even codes, as QuantizeLinear does', () => {
  const to = new Float32Array(6);
  project(Float32Array.of(0.5, 1.5, 2.5, -0.5, -1.5, -2.5), to, Float32Array.of(1), { outer: 1, length: 6, inner: 1, block: 6, lowest: -8, highest: 7 });
  expect([...to].map((x) => x + 0)).toEqual([0, 2, 2, 0, -2, -2]);
});

test('the step of a block is read off its weights', () => {
  for (let i = 0; i < 300; i++) {
    const bits = [2, 4, 8][i % 3]!;
    const [least, most] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
    const scale = Math.fround((rng.uniform() + 0.01) * (i % 2 === 0 ? 1 : -1));
    const codes = Array.from({ length: 32 }, () => least + rng.below(most - least + 1));
    const block = Float32Array.from(codes, (code) => code * scale);
    const step = stepOf(block, Math.fround(scale * 1.2), least, most)!;
    block.forEach((weight) => expect(Math.abs(weight - step * Math.round(weight / step))).toBeLessThan(5e-5 * Math.abs(scale)));
    expect(block.every((weight) => Math.round(weight / step) >= least && Math.round(weight / step) <= most)).toBe(true);
  }
  expect(stepOf(Float32Array.of(0, 0), 0.3, -2, 1)).toBe(0.3);
  expect(stepOf(Float32Array.of(1, Math.SQRT2, Math.PI), 0.3, -8, 7)).toBeUndefined();
});
