/** The parts of a squeeze that only choose: curves, gates, plans, searches, samples and the plot. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { WeightLosses } from '@penjing/core/calibrate';
import type { Comparison } from '@penjing/runtime';
import { tradePlot } from '../report/trade-plot.js';
import { splitSamples } from '../split-samples.js';
import { describeGate, judge, neededShare, smallLoss } from './gate.js';
import { goalOf } from './goal.js';
import type { Candidate } from './kinds.js';
import { lossCurve } from './loss-curve.js';
import { paretoFront } from './pareto-front.js';
import { fallBack, planLayers, predictedLoss, stepsFor, upgraded } from './plan.js';
import { fitSize, smallestPassing } from './search.js';

describe('a loss curve', () => {
  test('goes through its probes, and is in proportion beyond them', () => {
    const curve = lossCurve([{ error: 1, loss: 0.01 }, { error: 100, loss: 4 }]);
    expect([curve(0), curve(0.5), curve(1), curve(100), curve(200)]).toEqual([0, 0.005, 0.01, 4, 8]);
    expect(curve(10)).toBeCloseTo(0.2, 10);
  });

  test('never falls, whatever was measured', () => {
    fc.assert(fc.property(fc.array(fc.record({ error: fc.double({ min: 0, max: 1e6, noNaN: true }), loss: fc.double({ min: -1, max: 1e3 }) }), { maxLength: 4 }), fc.double({ min: 0, max: 1e7, noNaN: true }), fc.double({ min: 1, max: 10, noNaN: true }), (probes, error, factor) => {
      const curve = lossCurve(probes, 0.5);
      expect(curve(error)).toBeGreaterThanOrEqual(0);
      expect(curve(error * factor)).toBeGreaterThanOrEqual(curve(error) * (1 - 1e-12));
    }));
  });
});

const comparison = (facts: Partial<Comparison>): Comparison => ({ kind: 'generic', a: { name: 'a', bytes: 4 }, b: { name: 'b', bytes: 1 }, sizeRatio: 0.25, snrDb: 40, maxError: 0.1, outputs: [], count: 8, data: '', seconds: 0, ...facts });

describe('the gate', () => {
  test('is of perplexity, of accuracy, or of outputs', () => {
    const language = comparison({ a: { name: 'a', bytes: 4, perplexity: 20 }, b: { name: 'b', bytes: 1, perplexity: 20.3 }, klDivergence: 0.02 });
    expect(judge(language, 0.01)).toMatchObject({ metric: 'perplexity', loss: expect.closeTo(0.015, 10) as number, passed: false });
    expect(judge(language, 0.02).passed).toBe(true);
    expect(smallLoss(language)).toBe(0.02);
    const classes = comparison({ a: { name: 'a', bytes: 4, accuracy: 0.99 }, b: { name: 'b', bytes: 1, accuracy: 0.985 } });
    expect(judge(classes, 0.01)).toMatchObject({ metric: 'accuracy', loss: expect.closeTo(0.005, 10) as number, passed: true });
    expect(judge(comparison({}), 0.01)).toMatchObject({ metric: 'output', loss: expect.closeTo(0.01, 10) as number });
    expect(smallLoss(comparison({}))).toBeCloseTo(1e-4, 10);
  });

  test('no model that computes no numbers passes, even without a limit', () => {
    for (const facts of [{ snrDb: -Infinity }, { snrDb: -Infinity, a: { name: '', bytes: 1, accuracy: 1 }, b: { name: '', bytes: 1, accuracy: 1 } }, { a: { name: '', bytes: 1, perplexity: 3 }, b: { name: '', bytes: 1, perplexity: Number.NaN } }]) {
      expect(judge(comparison(facts), undefined)).toMatchObject({ loss: Infinity, passed: false });
    }
  });
});

describe('a goal', () => {
  test('takes targets and methods that go together', () => {
    expect(goalOf({ maxLoss: 0.01 })).toMatchObject({ methods: ['int'], counts: 'size' });
    expect(goalOf({ targetSparsity: 0.5 })).toMatchObject({ methods: ['sparse'], counts: 'weights' });
    expect(goalOf({ targetSize: { share: 0.2 }, methods: ['int', 'palette'] })).toMatchObject({ counts: 'size' });
    for (const wrong of [{}, { methods: ['int'] as const }, { targetSize: { bytes: 1 }, targetSparsity: 0.5 }, { maxLoss: 0.1, methods: ['int', 'sparse'] as const }, { targetSize: { bytes: 1 }, methods: ['sparse'] as const }, { targetSparsity: 0.5, methods: ['palette'] as const }, { maxLoss: 0.1, methods: [] }]) {
      expect(() => goalOf(wrong)).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
    }
  });

  test('asks for a smaller loss in proportion to what passes', () => {
    expect(neededShare({ metric: 'perplexity', loss: 0.02, passed: false }, 0.01)).toBeCloseTo(0.5, 1);
    expect(neededShare({ metric: 'output', loss: 0.02, passed: false }, 0.01)).toBeCloseTo(0.25, 10);
    expect(neededShare({ metric: 'accuracy', loss: 0.02, passed: false }, 0.01)).toBe(0.5);
    expect(neededShare({ metric: 'perplexity', loss: Infinity, passed: false }, 0.01)).toBe(0.25);
    expect(neededShare({ metric: 'perplexity', loss: 0.010001, passed: false }, 0.01)).toBe(0.9);
    expect(describeGate({ metric: 'accuracy', loss: Infinity, passed: false }, 0.01)).toBe('FAILED: loses everything of accuracy on held-out samples (1.00 % allowed)');
  });
});

const scheme = { blockSize: 32, symmetric: true } as const;
const weight = (name: string, sensitivity: number): WeightLosses<Candidate> => ({
  name, elements: 1000, bytes: 4000, metric: 'hessian', trace: 1,
  candidates: [
    { candidate: { method: 'rtn', bits: 8, ...scheme }, bytes: 1100, error: sensitivity, snrDb: 40 },
    { candidate: { method: 'rtn', bits: 4, ...scheme }, bytes: 600, error: 20 * sensitivity, snrDb: 20 },
    { candidate: { method: 'gptq', bits: 4, ...scheme }, bytes: 600, error: 10 * sensitivity, snrDb: 23 },
  ],
});

describe('a plan', () => {
  const layers = planLayers([weight('a', 1), weight('b', 3), weight('c', 0.1)], (_weight, { error }) => error);

  test('becomes one step for each kind: what most weights get first, then the others, then nothing', () => {
    expect(stepsFor(layers, [2, 0, 2], { data: 'd.txt', leaveOut: 4 })).toEqual([{
      quantize: {
        method: 'gptq', bits: 4, ...scheme, data: 'd.txt', leaveOut: 4,
        layers: [{ match: ['a', 'c'], method: 'gptq', bits: 4, ...scheme }, { match: ['b'], method: 'rtn', bits: 8, ...scheme }, { match: ['/^/'], method: 'none' }],
      },
    }]);
    const [plain] = stepsFor(layers, [0, 3, 3], { data: 'd.txt' });
    expect(plain).toMatchObject({ quantize: { method: 'rtn' } });
    expect(plain).not.toHaveProperty('quantize.data');
    expect(stepsFor(layers, [3, 3, 3], {})).toEqual([]);

    const kinds = planLayers([{ ...weight('/p/', 1), candidates: [
      { candidate: { method: 'palette', bits: 3 }, bytes: 400, error: 1, snrDb: 20 },
      { candidate: { method: 'rtn', bits: 8, ...scheme }, bytes: 1100, error: 1, snrDb: 20 },
      { candidate: { method: 'sparsegpt', sparsity: 0.7 }, bytes: 1200, error: 1, snrDb: 20 },
    ] }], () => 1);
    const rest = { match: ['/^/'], method: 'none' };
    expect(stepsFor([...kinds, ...kinds, ...kinds], [0, 1, 2], { data: 'd' })).toEqual([
      // a name between slashes is no pattern
      { prune: { method: 'sparsegpt', sparsity: 0.7, data: 'd', layers: [{ match: ['/^\\/p\\/$/'], sparsity: 0.7 }, rest] } },
      { quantize: { method: 'rtn', bits: 8, ...scheme, layers: [{ match: ['/^\\/p\\/$/'], method: 'rtn', bits: 8, ...scheme }, rest] } },
      { cluster: { method: 'sensitivity', bits: 3, data: 'd', layers: [{ match: ['/^\\/p\\/$/'], bits: 3 }, rest] } },
    ]);
  });

  test('makes as many weights better as the loss has to fall, and leaves at least one treated', () => {
    const start = [1, 1, 1];
    for (const share of [0.9, 0.5, 0.1, 1e-9]) {
      const next = fallBack(layers, start, share)!;
      expect(next.layers.length).toBeGreaterThan(0);
      expect(next.choices).not.toEqual([3, 3, 3]);
      if (share > 1e-3) expect(predictedLoss(layers, next.choices)).toBeLessThanOrEqual(predictedLoss(layers, start) * share);
      if (share === 0.9) expect(next.layers).toEqual(['b']);
    }
    expect(fallBack(layers, [3, 3, 0], 0.5)).toBeUndefined();
    expect(fallBack(layers, [3, 3, 3], 0.5)).toBeUndefined();
  });

  test('falls back from the weight that loses most, to the weights as they were in the end', () => {
    const names: string[] = [];
    let choices: readonly number[] = [1, 1, 1];
    for (let next = upgraded(layers, choices); next; next = upgraded(layers, choices)) {
      const loss = (all: readonly number[]): number => all.reduce((sum, choice, i) => sum + layers[i]!.options[choice]!.loss, 0);
      expect(loss(next.choices)).toBeLessThan(loss(choices));
      ({ choices } = next);
      names.push(next.layer);
    }
    expect(choices).toEqual([3, 3, 3]);
    expect(names[0]).toBe('b');
    expect(names).toHaveLength(6);
  });
});

describe('a search', () => {
  const front = paretoFront(Array.from({ length: 6 }, () => [{ bytes: 1, loss: 10 }, { bytes: 3, loss: 3 }, { bytes: 9, loss: 0 }]));

  test('finds the smallest that passes wherever the line is, in few tries', async () => {
    for (let limit = -1; limit <= 70; limit++) {
      for (const expected of [0, 5, 100]) {
        let tries = 0;
        const found = await smallestPassing(front, expected, async (point) => {
          tries++;
          return { bytes: point.bytes, passed: point.loss <= limit };
        });
        expect(tries).toBeLessThanOrEqual(8);
        expect(found).toEqual(front.find((point) => point.loss <= limit));
      }
    }
  });

  test('stops where sizes hardly differ', async () => {
    const line = Array.from({ length: 1000 }, (_, i) => ({ bytes: 1000 + i, loss: 1000 - i, choices: [] }));
    for (const limit of [400, 700, 990]) {
      let tries = 0;
      const found = await smallestPassing(line, 500, async (point) => {
        tries++;
        return { bytes: point.bytes, passed: point.loss <= limit };
      }, 0.1);
      expect(found!.loss).toBeLessThanOrEqual(limit);
      expect(found!.bytes).toBeLessThanOrEqual(1.12 * (2000 - limit));
      expect(tries).toBeLessThanOrEqual(5);
    }
  });

  test('fits a size that says more than the weights', async () => {
    const measure = async ({ bytes }: { bytes: number }): Promise<{ bytes: number; passed: boolean }> => ({ bytes: bytes + 7, passed: true });
    for (let size = 0; size < 70; size++) {
      const found = await fitSize(front, size, 0, measure);
      if (found) expect(found.bytes + 7).toBeLessThanOrEqual(size);
      else expect(size).toBeLessThan(front[0]!.bytes + 7);
    }
  });
});

test('every so-manieth sample is held out', () => {
  expect(splitSamples([0, 1, 2, 3, 4, 5, 6, 7, 8], 4)).toEqual({ used: [0, 1, 2, 4, 5, 6, 8], heldOut: [3, 7] });
  expect(splitSamples([0, 1], undefined)).toEqual({ used: [0, 1], heldOut: [] });
});

test('the plot draws any numbers', () => {
  const number = fc.double();
  fc.assert(fc.property(fc.array(fc.record({ bytes: number, loss: number }), { maxLength: 5 }), fc.array(fc.record({ bytes: number, loss: number, name: fc.string(), mark: fc.nat(5) }), { maxLength: 5 }), (line, points) => {
    const html = tradePlot({ title: 't', axis: 'a', sizes: 's' }, line, points);
    for (const [, value] of html.matchAll(/ (?:x|y|cx|cy|x1|x2|y1|y2)="([^"]*)"/g)) expect(value).toMatch(/^-?\d+(\.\d+)?$/);
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
  }));
});
