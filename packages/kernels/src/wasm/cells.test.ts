/** Pruning by cells: WebAssembly against its plain twin, and both against every subset, one after the other. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bits, firstDifference } from '../../test/arbitraries.js';
import { KernelError, type PruneCellsArgs } from '../kernels.js';
import { plainKernels } from '../plain/index.js';
import { wasmKernels } from './index.js';

const both = [wasmKernels({ arenaBytes: 0 }), plainKernels({ arenaBytes: 0 })];

/** Reproducible numbers in [-1, 1). */
function numbers(seed: number, length: number): Float32Array {
  let state = (seed * 2 + 1) >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** All subsets of `count` of `size` rows, and what leads to them, in order. */
function search(size: number, count: number): Uint16Array {
  const nodes: number[] = [];
  const visit = (subset: number, next: number, depth: number): void => {
    for (let i = next; i <= size - (count - depth); i++) {
      nodes.push((subset | (1 << i)) + (depth + 1 === count ? 256 : 0));
      if (depth + 1 < count) visit(subset | (1 << i), i + 1, depth + 1);
    }
  };
  if (count > 0) visit(0, 0, 0);
  return Uint16Array.from(nodes);
}

function caseOf(rows: number, cols: number, cell: number, seed: number): Omit<PruneCellsArgs, 'values' | 'differences'> {
  const cells = Math.ceil(rows / cell);
  const lower = numbers(seed, rows * rows).map((value, at) => (at % rows > Math.floor(at / rows) ? NaN : at % (rows + 1) === 0 ? 1 + Math.abs(value) : value / 4));
  const choices = Uint8Array.from(numbers(seed + 1, cells * cols), (value, at) => Math.floor(((value + 1) / 2) * (Math.min(cell, rows - Math.floor(at / cols) * cell) + 1)));
  const short = rows % cell;
  const searches = Array.from({ length: cell + 1 }, (_, count) => search(cell, count));
  if (short > 0) {
    for (let c = 0; c < cols; c++) choices[(cells - 1) * cols + c]! += searches.length;
    searches.push(...Array.from({ length: short + 1 }, (_, count) => search(short, count)));
  }
  // a tree of one matrix: what goes never counts again, as in a real one
  const updates = numbers(seed + 2, (cells << cell) * 8).map((value, at) => {
    const subset = Math.floor(at / 8) % (1 << cell);
    const row = at % 8;
    const highest = 31 - Math.clz32(subset);
    return row === highest ? 1 : row >= cell || (subset >> row) & 1 ? 0 : value / 2;
  });
  return { rows, cols, cell, lower, weights: numbers(seed + 3, rows * cols), carried: numbers(seed + 4, rows * cols), updates, costs: numbers(seed + 5, cells << cell).map(Math.abs), searches, choices };
}

describe('pruneCells', () => {
  it('equals its plain twin', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 8 }), fc.nat(1000), (rows, cols, cell, seed) => {
        const given = caseOf(rows, cols, cell, seed);
        const [a, b] = both.map((kernels) => {
          const [values, differences] = [new Float32Array(rows * cols), new Float32Array(rows * cols)];
          return { values, differences, cost: kernels.pruneCells({ ...given, values, differences }) };
        });
        expect(firstDifference(bits(a!.values), bits(b!.values))).toBe(-1);
        expect(firstDifference(bits(a!.differences), bits(b!.differences))).toBe(-1);
        expect(Math.abs(a!.cost - b!.cost)).toBeLessThan(1e-9 * Math.max(1, b!.cost));
        for (let at = 0; at < given.choices.length; at++) {
          const [index, c] = [Math.floor(at / cols), at % cols];
          const size = Math.min(cell, rows - index * cell);
          const rowsOf = Array.from({ length: size }, (_, i) => a!.values[(index * cell + i) * cols + c]!);
          expect(rowsOf.filter((value) => value === 0).length).toBeGreaterThanOrEqual(given.choices[at]! % (cell + 1));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('takes more columns and rows than a strip has', () => {
    const given = caseOf(128, 600, 8, 3);
    const [a, b] = both.map((kernels) => {
      const values = new Float32Array(given.weights.length);
      kernels.pruneCells({ ...given, values, differences: new Float32Array(values.length) });
      return values;
    });
    expect(firstDifference(bits(a!), bits(b!))).toBe(-1);
  });

  it('chooses what costs least', () => {
    // three rows that do not depend on each other: two go, the cheapest ones
    const given = { rows: 3, cols: 2, cell: 3, lower: Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1), weights: Float32Array.of(1, 9, 5, 1, 2, 8), carried: new Float32Array(6), searches: [search(3, 2)], choices: new Uint8Array(2) };
    const updates = new Float32Array(8 * 8).map((_, at) => (at % 8 === 31 - Math.clz32(Math.floor(at / 8)) ? 1 : 0));
    for (const kernels of both) {
      const [values, differences] = [new Float32Array(6), new Float32Array(6)];
      expect(kernels.pruneCells({ ...given, updates, costs: new Float32Array(8).fill(1), values, differences })).toBe(1 + 4 + 1 + 64);
      expect([...values]).toEqual([0, 9, 5, 0, 0, 0]);
      expect([...differences]).toEqual([1, 0, 0, 1, 2, 8]);
    }
  });

  it('gives something for weights that are not finite, and refuses what does not fit', () => {
    const given = caseOf(8, 3, 8, 5);
    const weights = given.weights.map((value, at) => (at % 3 === 1 ? NaN : at % 3 === 2 ? value * 1e38 : value));
    const [a, b] = both.map((kernels) => {
      const values = new Float32Array(24);
      kernels.pruneCells({ ...given, weights, values, differences: new Float32Array(24) });
      return values;
    });
    for (let at = 0; at < 24; at++) expect(Object.is(a![at], b![at])).toBe(true);
    const room = { values: new Float32Array(24), differences: new Float32Array(24) };
    for (const kernels of both) {
      const refused = (changes: Partial<PruneCellsArgs>): void => expect(() => kernels.pruneCells({ ...given, ...room, ...changes })).toThrow(KernelError);
      refused({ cell: 9 });
      refused({ costs: new Float32Array(3) });
      refused({ choices: new Uint8Array(3).fill(99) });
      refused({ searches: [Uint16Array.of(3)] });
      refused({ searches: [Uint16Array.of(1)] });
      refused({ searches: [Uint16Array.of(1, 2, 259)] });
      refused({ searches: [] });
    }
  });
});
