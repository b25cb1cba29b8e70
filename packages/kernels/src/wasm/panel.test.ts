/** Dense panels: WebAssembly against the plain twins, and both against what the words say. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bits, firstDifference } from '../../test/arbitraries.js';
import { type ColumnGrid, KernelError } from '../kernels.js';
import { plainKernels } from '../plain/index.js';
import { wasmKernels } from './index.js';

const wasm = wasmKernels({ arenaBytes: 0 });
const plain = plainKernels({ arenaBytes: 0 });
const both = [wasm, plain];

/** Reproducible numbers in [-1, 1). */
function numbers(seed: number, length: number): Float32Array {
  let state = (seed * 2 + 1) >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** A lower triangle whose diagonal is away from zero. */
function triangle(seed: number, size: number): Float32Array {
  const values = numbers(seed, size * size);
  return values.map((value, at) => {
    const row = Math.floor(at / size);
    const col = at % size;
    return col > row ? NaN : col === row ? 1 + Math.abs(value) : value;
  });
}

const sizes = [fc.nat(40), fc.nat(70), fc.nat(1000)] as const;

describe('dense panels', () => {
  it('solveLower and addProduct equal their plain twins and undo each other', () => {
    fc.assert(
      fc.property(...sizes, (rows, cols, seed) => {
        const lower = triangle(seed, rows);
        const x = numbers(seed + 1, rows * cols);
        const [a, b] = both.map((kernels) => {
          const solved = x.slice();
          kernels.solveLower(lower, solved, rows, cols);
          return solved;
        });
        expect(firstDifference(bits(a!), bits(b!))).toBe(-1);
        const whole = lower.map((value) => (Number.isNaN(value) ? 0 : value));
        const [c, d] = both.map((kernels) => {
          const product = new Float32Array(rows * cols);
          kernels.addProduct(whole, a!, product, rows, rows, cols);
          return product;
        });
        expect(firstDifference(bits(c!), bits(d!))).toBe(-1);
        const largest = Math.max(1, ...a!.map(Math.abs));
        for (let i = 0; i < x.length; i++) expect(Math.abs(c![i]! - x[i]!)).toBeLessThan(1e-5 * largest);
      }),
      { numRuns: 60 },
    );
  });

  it('choleskyPanel factors, and names the first pivot that is not positive', () => {
    const size = 24;
    const factor = triangle(7, size).map((value) => (Number.isNaN(value) ? 0 : value));
    const a = new Float32Array(size * size);
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) for (let k = 0; k < size; k++) a[i * size + j]! += factor[i * size + k]! * factor[j * size + k]!;
    const kept = a.slice();
    expect(plain.choleskyPanel(a, size)).toBe(-1);
    for (let i = 0; i < size * size; i++) expect(a[i]).toBeCloseTo(factor[i]!, 2);
    kept[5 * size + 5] = -1;
    const before = kept.slice();
    expect(wasm.choleskyPanel(kept, size)).toBe(5);
    expect(kept).toEqual(before);
    expect(plain.choleskyPanel(Float32Array.of(NaN), 1)).toBe(0);
  });

  it('projectRows equals its plain twin, and its objective is that of the whole error', () => {
    fc.assert(
      fc.property(...sizes, fc.constantFrom('grid', 'grids', 'mask', 'both', 'neither'), (rows, cols, seed, form) => {
        const lower = triangle(seed, rows);
        const weights = numbers(seed + 2, rows * cols);
        const keep = form === 'mask' || form === 'both' ? Uint8Array.from(numbers(seed + 3, rows * cols), (value) => (value > 0 ? 1 : 0)) : undefined;
        const results = both.map((kernels) => {
          const grid: ColumnGrid | undefined =
            form === 'grid' || form === 'grids' || form === 'both'
              ? { scales: numbers(seed + 4, form === 'grids' ? rows * cols : cols).map((value, i) => (i === 3 ? 0 : value / 8)), zeroPoints: new Float32Array(form === 'grids' ? rows * cols : cols).map((_, i) => 8 - (i % 3)), highest: 15, codes: new Uint8Array(rows * cols) }
              : undefined;
          const values = new Float32Array(rows * cols);
          const differences = new Float32Array(rows * cols);
          const objective = kernels.projectRows({ rows, cols, lower, weights, carried: new Float32Array(rows * cols), keep, grid, values, differences });
          return { values, differences, objective, codes: grid?.codes ?? new Uint8Array(0) };
        });
        const [a, b] = results;
        expect(firstDifference(bits(a!.values), bits(b!.values))).toBe(-1);
        expect(firstDifference(bits(a!.differences), bits(b!.differences))).toBe(-1);
        expect(a!.codes).toEqual(b!.codes);
        expect(a!.objective).toBeCloseTo(b!.objective, 4);
        // ½ is left to the caller: ‖A (w − q)‖²
        const whole = lower.map((value) => (Number.isNaN(value) ? 0 : value));
        const product = new Float32Array(rows * cols);
        plain.addProduct(whole, a!.differences, product, rows, rows, cols);
        const squares = product.reduce((sum, value) => sum + value * value, 0);
        expect(Math.abs(squares - a!.objective)).toBeLessThanOrEqual(1e-4 * Math.max(1e-3, squares));
        if (keep) for (let i = 0; i < keep.length; i++) if (keep[i] === 0) expect(a!.values[i]).toBe(0);
      }),
      { numRuns: 80 },
    );
  });

  it('refuses sizes that do not fit', () => {
    for (const kernels of both) {
      expect(() => kernels.solveLower(new Float32Array(4), new Float32Array(3), 2, 2)).toThrow(KernelError);
      expect(() => kernels.addProduct(new Float32Array(300), new Float32Array(1), new Float32Array(300), 300, 1, 1)).toThrow(/at most 256/);
    }
  });
});
