import { describe, expect, test } from 'vitest';
import { createRng } from './rng.js';

const MASK = 0xffffffffn;
const rotl = (x: bigint, k: bigint): bigint => ((x << k) | (x >> (32n - k))) & MASK;

/** xoshiro128** in plain integers, after its authors' description. */
function* xoshiro(seed: readonly [bigint, bigint, bigint, bigint]): Generator<number> {
  let [a, b, c, d] = seed;
  for (;;) {
    yield Number((rotl((b * 5n) & MASK, 7n) * 9n) & MASK);
    const t = (b << 9n) & MASK;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotl(d, 11n);
  }
}

/** Four words from one, by the finalizer of MurmurHash3 over a Weyl sequence. */
function words(seed: number): [bigint, bigint, bigint, bigint] {
  let state = BigInt(seed >>> 0);
  const next = (): bigint => {
    state = (state + 0x9e3779b9n) & MASK;
    let z = ((state ^ (state >> 16n)) * 0x85ebca6bn) & MASK;
    z = ((z ^ (z >> 13n)) * 0xc2b2ae35n) & MASK;
    return z ^ (z >> 16n);
  };
  return [next(), next(), next(), next()];
}

const take = (count: number, from: Generator<number>): number[] => Array.from({ length: count }, () => from.next().value as number);

describe('createRng', () => {
  test('is xoshiro128**', () => {
    // Published with the reference implementation, from the state 1, 2, 3, 4.
    expect(take(6, xoshiro([1n, 2n, 3n, 4n]))).toEqual([11520, 0, 5927040, 70819200, 2031721883, 1637235492]);
    for (const seed of [0, 1, 42, -1, 2 ** 31, 2 ** 32 - 1]) {
      const rng = createRng(seed);
      expect(Array.from({ length: 100 }, () => rng.uint32())).toEqual(take(100, xoshiro(words(seed))));
    }
  });

  test('uniform numbers fill [0, 1) evenly', () => {
    const rng = createRng(3);
    const bins = new Array<number>(16).fill(0);
    for (let i = 0; i < 160_000; i++) bins[Math.floor(rng.uniform() * 16)]!++;
    // χ² with 15 degrees of freedom exceeds 37.7 once in a thousand; the seed is fixed.
    expect(bins.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0)).toBeLessThan(37.7);
  });

  test('normal numbers have mean 0, variance 1 and no skew', () => {
    const rng = createRng(4);
    const moments = [0, 0, 0, 0, 0];
    const count = 200_000;
    for (let i = 0; i < count; i++) {
      const x = rng.normal();
      for (let power = 1; power <= 4; power++) moments[power]! += x ** power / count;
    }
    // Five standard errors: sqrt(var(x^k) / count) · 5.
    expect(Math.abs(moments[1]!)).toBeLessThan(0.0112);
    expect(Math.abs(moments[2]! - 1)).toBeLessThan(0.0159);
    expect(Math.abs(moments[3]!)).toBeLessThan(0.0434);
    expect(Math.abs(moments[4]! - 3)).toBeLessThan(0.11);
  });

  test('below stays below', () => {
    const rng = createRng(5);
    const seen = new Set(Array.from({ length: 1000 }, () => rng.below(7)));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(rng.below(1)).toBe(0);
  });
});
