/** Codebooks against every possible clustering, and against Lloyd's iteration. */
import { createRng } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bestCodebook, type Points } from './kmeans.js';

function points(xs: readonly number[], ws: readonly number[] = xs.map(() => 1)): Points {
  const order = xs.map((_, i) => i).sort((a, b) => xs[a]! - xs[b]!);
  const of = (f: (x: number, w: number) => number): Float64Array => Float64Array.from(order, (i) => f(xs[i]!, ws[i]!));
  return { weights: of((_, w) => w), sums: of((x, w) => w * x), squares: of((x, w) => w * x * x) };
}

function costOf(xs: readonly number[], ws: readonly number[], entries: ArrayLike<number>): number {
  return xs.reduce((sum, x, i) => sum + ws[i]! * Math.min(...Array.from(entries, (entry) => (x - entry) ** 2)), 0);
}

/** The least cost over all borders. */
function leastCost(xs: readonly number[], ws: readonly number[], count: number): number {
  const order = xs.map((_, i) => i).sort((a, b) => xs[a]! - xs[b]!);
  const one = (from: number, to: number): number => {
    const part = order.slice(from, to);
    const weight = part.reduce((sum, i) => sum + ws[i]!, 0);
    const mean = weight > 0 ? part.reduce((sum, i) => sum + ws[i]! * xs[i]!, 0) / weight : 0;
    return part.reduce((sum, i) => sum + ws[i]! * (xs[i]! - mean) ** 2, 0);
  };
  const least = (to: number, left: number): number => {
    if (left === 1) return one(0, to);
    return Math.min(...Array.from({ length: to + 1 }, (_, from) => least(from, left - 1) + one(from, to)));
  };
  return least(xs.length, count);
}

describe('bestCodebook', () => {
  test('is the best of all clusterings', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: -20, max: 20 }), fc.integer({ min: 0, max: 5 })), { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 4 }), (pairs, count) => {
        const xs = pairs.map(([x]) => x / 4);
        const ws = pairs.map(([, w]) => w);
        const { entries, cost } = bestCodebook(points(xs, ws), count);
        expect(entries.length).toBeLessThanOrEqual(count);
        expect([...entries]).toEqual([...entries].sort((a, b) => a - b));
        expect(cost).toBeCloseTo(leastCost(xs, ws, count), 9);
        expect(costOf(xs, ws, entries)).toBeCloseTo(cost, 9);
      }),
      { numRuns: 300 },
    );
  });

  test('is never above what Lloyd reaches from sixteen quantiles', () => {
    const rng = createRng(3);
    const xs = Array.from({ length: 2000 }, () => rng.normal() ** 3).sort((a, b) => a - b);
    const ws = xs.map(() => rng.uniform());
    let entries = Array.from({ length: 16 }, (_, i) => xs[Math.floor(((i + 0.5) / 16) * xs.length)]!);
    for (let step = 0; step < 200; step++) {
      const sums = entries.map(() => [0, 0] as [number, number]);
      xs.forEach((x, i) => {
        let nearest = 0;
        for (let k = 1; k < entries.length; k++) if (Math.abs(x - entries[k]!) < Math.abs(x - entries[nearest]!)) nearest = k;
        sums[nearest]![0] += ws[i]!;
        sums[nearest]![1] += ws[i]! * x;
      });
      entries = entries.map((entry, k) => (sums[k]![0] > 0 ? sums[k]![1] / sums[k]![0] : entry));
    }
    const best = bestCodebook(points(xs, ws), 16);
    expect(best.cost).toBeLessThanOrEqual(costOf(xs, ws, entries));
    expect(best.cost).toBeCloseTo(costOf(xs, ws, best.entries), 6);
  });

  test('takes what has no points, one value, and no weight', () => {
    expect([...bestCodebook(points([]), 4).entries]).toEqual([0]);
    expect(bestCodebook(points([2, 2, 2]), 2)).toMatchObject({ cost: 0 });
    expect([...bestCodebook(points([1, 2], [0, 0]), 2).entries].every(Number.isFinite)).toBe(true);
  });
});
