/** Histograms against their definition, and ranges chosen from them against what they promise. */
import { wasmKernels } from '@penjing/kernels';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRng } from '../rng.js';
import { DenseTensor } from '../tensor.js';
import { channelRange } from './collectors/channel-range.js';
import type { CollectorTools } from './collectors/collector.js';
import { histogram, type HistogramStatistic, MAX_BINS } from './collectors/histogram.js';
import { entropyRange, gridError, mseRange, percentileRange } from './thresholds.js';

// No collector of this file multiplies.
const tools = { kernels: wasmKernels() } as CollectorTools;

async function histogramOf(...parts: readonly (readonly number[] | Float32Array)[]): Promise<HistogramStatistic> {
  const collector = histogram('x', tools);
  for (const part of parts) await collector.add(DenseTensor.of('float32', [part.length], Float32Array.from(part)));
  return collector.result();
}

const floats = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-1e6), max: Math.fround(1e6) }), { minLength: 1, maxLength: 300 });

describe('histogram', () => {
  test('counts what its definition says, whatever the order and the grouping', async () => {
    await fc.assert(fc.asyncProperty(floats, fc.integer({ min: 0, max: 300 }), async (values, cut) => {
      const whole = await histogramOf(values);
      const { width, first, counts, min, max, nonFinite } = whole;
      expect(await histogramOf([...values].reverse().slice(0, cut), [...values].reverse().slice(cut))).toEqual(whole);
      expect([min, max, nonFinite]).toEqual([Math.min(...values) + 0, Math.max(...values) + 0, 0]);
      expect(counts.length).toBeLessThanOrEqual(MAX_BINS);
      const wanted = new Float64Array(counts.length);
      for (const value of values) wanted[Math.floor(Math.fround(value) / width) - first]!++;
      expect(counts).toEqual(wanted);
      // The smallest width that does.
      if (width > 2 ** -149) expect(Math.floor(max / (width / 2)) - Math.floor(min / (width / 2)) + 1).toBeGreaterThan(MAX_BINS);
    }), { numRuns: 60 });
  });

  test('leaves out and counts what is no number; takes the largest and the smallest floats', async () => {
    const seen = await histogramOf([NaN, 1, Infinity], [-Infinity, -1], [NaN]);
    expect(seen).toMatchObject({ min: -1, max: 1, nonFinite: 4 });
    expect(seen.counts.reduce((a, b) => a + b)).toBe(2);
    const wide = await histogramOf([0], [2 ** -149], [-3.4028234663852886e38, 3.4028234663852886e38]);
    expect(wide.counts.reduce((a, b) => a + b)).toBe(4);
    expect(wide.nonFinite).toBe(0);
  });
});

describe('channelRange', () => {
  test('is that of each column', async () => {
    const collector = channelRange('x', tools);
    await collector.add(DenseTensor.of('float32', [2, 2], Float32Array.of(1, -2, 3, 4)));
    await collector.add(DenseTensor.of('float32', [1, 1, 2], Float32Array.of(-5, 0)));
    expect(collector.result()).toEqual({ min: Float32Array.of(-5, -2), max: Float32Array.of(3, 4), rows: 3 });
    await expect(collector.add(DenseTensor.of('float32', [3], new Float32Array(3)))).rejects.toThrow(/2 channels, now 3/);
  });
});

describe('ranges', () => {
  test('percentile never clips more than it says, and all clip within the range of the values', async () => {
    await fc.assert(fc.asyncProperty(floats, fc.double({ min: 50, max: 100, noNaN: true }), async (values, percent) => {
      const seen = await histogramOf(values);
      const { min, max } = percentileRange(seen, percent);
      expect(values.filter((x) => x < min || x > max).length).toBeLessThanOrEqual((values.length * (100 - percent)) / 100 + 1e-9);
      for (const range of [{ min, max }, entropyRange(seen), mseRange(seen)]) {
        expect(range.min).toBeGreaterThanOrEqual(Math.min(0, seen.min));
        expect(range.max).toBeLessThanOrEqual(Math.max(0, seen.max));
        expect(range.min).toBeLessThanOrEqual(range.max);
      }
    }), { numRuns: 60 });
  });

  test('percentile cuts the end that is farther from zero first', async () => {
    const rng = createRng(4);
    const values = Array.from({ length: 10_000 }, () => Math.max(-0.5, rng.normal() ** 3));
    const { min, max } = percentileRange(await histogramOf(values), 99);
    expect(min).toBeCloseTo(-0.5, 5);
    const cut = values.filter((x) => x > max).length;
    expect(cut).toBeGreaterThan(90);
    expect(cut).toBeLessThanOrEqual(100);
    const turned = percentileRange(await histogramOf(values.map((x) => -x)), 99);
    expect(turned.max).toBeCloseTo(0.5, 5);
    expect(turned.min).toBeCloseTo(-max, 1);
  });

  test('mse is never worse than the whole range, and as good as the best of many', async () => {
    const rng = createRng(5);
    for (const make of [() => rng.normal(), () => Math.max(0, rng.normal()), () => rng.normal() ** 3, () => rng.normal() * (rng.uniform() < 0.001 ? 30 : 1) + 0.5]) {
      const seen = await histogramOf(Array.from({ length: 20_000 }, make));
      const levels = 255;
      const found = gridError(seen, mseRange(seen, { levels }), levels);
      let best = Infinity;
      for (let low = 0.02; low <= 1; low += 0.02) for (let high = 0.02; high <= 1; high += 0.02) best = Math.min(best, gridError(seen, { min: Math.min(0, seen.min * low), max: seen.max * high }, levels));
      expect(found).toBeLessThanOrEqual(best * 1.05);
    }
  });

  test('entropy lets outliers go and keeps a distribution without any', async () => {
    const rng = createRng(6);
    const bulk = Array.from({ length: 50_000 }, () => rng.normal());
    const { min, max } = entropyRange(await histogramOf(bulk, [400]));
    expect(max).toBeGreaterThan(2);
    expect(max).toBeLessThan(100);
    expect(min).toBeGreaterThan(-10);
    const flat = entropyRange(await histogramOf(Array.from({ length: 50_000 }, () => rng.uniform() * 6)));
    expect(flat.max).toBeGreaterThan(5.5);
    const positive = entropyRange(await histogramOf(Array.from({ length: 50_000 }, () => Math.max(0, rng.normal()))));
    expect(positive.min).toBe(0);
    expect(positive.max).toBeGreaterThan(2);
  });

  test('entropy is not moved by values that many elements share', async () => {
    const rng = createRng(8);
    // What a convolution makes of a plain background: one constant for each channel, next to what it makes of everything else.
    const bulk = Array.from({ length: 60_000 }, () => Math.abs(rng.normal()));
    const without = entropyRange(await histogramOf(bulk));
    for (const spikes of [[0], [0.43], Array.from({ length: 16 }, () => 2 * rng.uniform())]) {
      const constants = spikes.flatMap((value) => new Array<number>(Math.ceil(90_000 / spikes.length)).fill(value));
      const { max } = entropyRange(await histogramOf(bulk, constants));
      expect(max).toBeGreaterThan(0.85 * without.max);
    }
  });

  test('entropy never clips most of the values: all of them far from zero', async () => {
    const rng = createRng(9);
    const { min, max } = entropyRange(await histogramOf(Array.from({ length: 30_000 }, () => (rng.uniform() < 0.5 ? -1 : 1) * (1.4 + 0.2 * rng.normal()))));
    expect(max).toBeGreaterThan(1.8);
    expect(min).toBeLessThan(-1.8);
  });

  test('constants and empty histograms have a range', async () => {
    for (const value of [0, 3, -2]) {
      const seen = await histogramOf([value, value]);
      for (const range of [percentileRange(seen, 99), entropyRange(seen), mseRange(seen)]) {
        expect(range.min).toBeLessThanOrEqual(value + 1e-6);
        expect(range.max).toBeGreaterThanOrEqual(value - 1e-6);
      }
    }
  });
});
