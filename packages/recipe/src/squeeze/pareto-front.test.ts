import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Choice, paretoFront, withinBytes, withinLoss } from './pareto-front.js';

const layers = fc.array(fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 40 }), loss: fc.integer({ min: 0, max: 40 }) }), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 });

/** Every combination. */
function all(given: readonly (readonly Choice[])[]): Choice[] {
  return given.reduce<Choice[]>((sums, candidates) => sums.flatMap((sum) => candidates.map(({ bytes, loss }) => ({ bytes: sum.bytes + bytes, loss: sum.loss + loss }))), [{ bytes: 0, loss: 0 }]);
}

describe('the front', () => {
  test('is what trying every combination finds, for every size and every loss', () => {
    fc.assert(fc.property(layers, (given) => {
      const front = paretoFront(given);
      const every = all(given);
      for (const { bytes } of every) expect(withinBytes(front, bytes)!.loss).toBe(Math.min(...every.filter((one) => one.bytes <= bytes).map(({ loss }) => loss)));
      for (const { loss } of every) expect(withinLoss(front, loss)!.bytes).toBe(Math.min(...every.filter((one) => one.loss <= loss).map(({ bytes }) => bytes)));
      for (const { bytes, loss, choices } of front) {
        const chosen = choices.map((choice, layer) => given[layer]![choice]!);
        expect([chosen.reduce((sum, one) => sum + one.bytes, 0), chosen.reduce((sum, one) => sum + one.loss, 0)]).toEqual([bytes, loss]);
      }
    }), { numRuns: 300 });
  });

  test('thinned out, stays near the exact one and within its limit', () => {
    fc.assert(fc.property(layers, (given) => {
      const [exact, thin] = [paretoFront(given), paretoFront(given, { limit: 16 })];
      expect(thin.length).toBeLessThanOrEqual(18);
      const range = exact.at(-1)!.bytes - exact[0]!.bytes;
      // each layer may cost a point 1/limit of the range so far
      for (const { bytes, loss } of exact) expect(withinLoss(thin, loss)!.bytes).toBeLessThanOrEqual(bytes + (range * given.length) / 16 + 1e-9);
    }), { numRuns: 200 });
  });

  test('a hundred layers keep no more than the limit, whose ends are exact', () => {
    const many = Array.from({ length: 100 }, (_, layer) => Array.from({ length: 12 }, (_, i) => ({ bytes: 1000 * (12 - i) + layer, loss: (1 + (layer % 7)) * 2 ** i })));
    const front = paretoFront(many, { limit: 256 });
    expect(front.length).toBeGreaterThan(100);
    expect(front.length).toBeLessThanOrEqual(258);
    const sum = (pick: (all: readonly Choice[]) => number): number => many.reduce((total, all) => total + pick(all), 0);
    expect(front[0]!.bytes).toBe(sum((all) => Math.min(...all.map(({ bytes }) => bytes))));
    expect(front.at(-1)!.loss).toBe(sum((all) => Math.min(...all.map(({ loss }) => loss))));
    expect(withinBytes(front, 0)).toBeUndefined();
    expect(withinLoss(front, -1)).toBeUndefined();
  });

  test('a layer without candidates has no front', () => {
    expect(paretoFront([[{ bytes: 1, loss: 1 }], []])).toEqual([]);
    expect(paretoFront([])).toEqual([{ bytes: 0, loss: 0, choices: [] }]);
  });
});
