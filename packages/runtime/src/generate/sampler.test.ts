import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type SamplingParams, createSampler } from './sampler.js';

const plain: SamplingParams = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0, logitBias: [], logProbabilities: undefined, seed: 7 };
const logits = Float32Array.of(0, 3, 1, 2, -5);

function draw(params: Partial<SamplingParams>, count = 2000, context: readonly number[] = []): number[] {
  const sampler = createSampler({ ...plain, ...params });
  return Array.from({ length: count }, () => sampler.next(logits.slice(), context).token);
}

function shares(tokens: readonly number[]): number[] {
  const counts = new Array<number>(logits.length).fill(0);
  for (const token of tokens) counts[token]!++;
  return counts.map((count) => count / tokens.length);
}

const softmax = (values: ArrayLike<number>, temperature = 1): number[] => {
  const weights = Array.from(values, (value) => Math.exp(value / temperature));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
};

describe('sampler', () => {
  test('temperature 0 takes the likeliest, the first of equals', () => {
    expect(draw({ temperature: 0 }, 3)).toEqual([1, 1, 1]);
    expect(createSampler({ ...plain, temperature: 0 }).next(Float32Array.of(1, 2, 2), []).token).toBe(1);
  });

  test.each([1, 0.5, 2])('temperature %d gives the softmax frequencies', (temperature) => {
    const expected = softmax(logits, temperature);
    shares(draw({ temperature }, 20_000)).forEach((share, i) => expect(Math.abs(share - expected[i]!)).toBeLessThan(0.015));
  });

  test('a model that gives NaN is an error, not token 0', () => {
    expect(() => createSampler({ ...plain, temperature: 0 }).next(Float32Array.of(NaN, NaN), []).token).toThrow(expect.objectContaining({ code: 'E_NUMERIC' }) as Error);
    expect(createSampler({ ...plain, temperature: 0 }).next(Float32Array.of(NaN, 1), []).token).toBe(1);
  });

  test('same seed, same tokens; another seed, others', () => {
    expect(draw({ seed: 1 }, 50)).toEqual(draw({ seed: 1 }, 50));
    expect(draw({ seed: 1 }, 50)).not.toEqual(draw({ seed: 2 }, 50));
  });

  test('filters keep what they say', () => {
    const kept = (params: Partial<SamplingParams>): number[] => [...new Set(draw(params))].sort();
    expect(kept({ topK: 1 })).toEqual([1]);
    expect(kept({ topK: 2 })).toEqual([1, 3]);
    // Probabilities 0.03, 0.64, 0.09, 0.24, 0.0002.
    expect(kept({ topP: 0.6 })).toEqual([1]);
    expect(kept({ topP: 0.7 })).toEqual([1, 3]);
    expect(kept({ topP: 0.9 })).toEqual([1, 2, 3]);
    expect(kept({ minP: 0.3 })).toEqual([1, 3]);
    expect(kept({ minP: 1 })).toEqual([1]);
  });

  test('the repetition penalty acts on both signs, once per token', () => {
    const sampler = createSampler({ ...plain, temperature: 0, repetitionPenalty: 2 });
    expect(sampler.next(Float32Array.of(3, 2, -1), [0, 0]).token).toBe(1);
    expect(sampler.next(Float32Array.of(-1, -1.5, -9), [0]).token).toBe(1);
  });

  test('frequency counts every time, presence once, and the prompt not at all', () => {
    const draw = (params: Partial<SamplingParams>, context: readonly number[]): number => createSampler({ ...plain, temperature: 0, ...params }).next(logits.slice(), context, 2).token;
    expect(draw({ presencePenalty: 0.9 }, [1, 1, 1])).toBe(1);
    expect(draw({ presencePenalty: 1.1 }, [1, 1, 1])).toBe(3);
    expect(draw({ presencePenalty: 1.1 }, [1, 1])).toBe(1);
    expect(draw({ frequencyPenalty: 0.6 }, [0, 0, 1])).toBe(1);
    expect(draw({ frequencyPenalty: 0.6 }, [0, 0, 1, 1])).toBe(3);
    expect(draw({ frequencyPenalty: -2.9 }, [0, 0, 0])).toBe(1);
    expect(draw({ frequencyPenalty: -3.5 }, [1, 1, 0])).toBe(0);
  });

  test('a bias forbids and demands, and tokens beyond the vocabulary are nothing', () => {
    const draw = (logitBias: [number, number][]): number => createSampler({ ...plain, temperature: 0, logitBias }).next(logits.slice(), []).token;
    expect(draw([[1, -100]])).toBe(3);
    expect(draw([[4, 100]])).toBe(4);
    expect(draw([[99, 100]])).toBe(1);
  });

  test('log-probabilities are those of the model, whatever changes the draw', () => {
    const expected = softmax(logits).map(Math.log);
    const drawn = createSampler({ ...plain, temperature: 0, logitBias: [[0, 50]], logProbabilities: 2 }).next(logits.slice(), []);
    expect(drawn.token).toBe(0);
    expect(drawn.logProbability).toBeCloseTo(expected[0]!, 6);
    expect(drawn.likeliest!.map(({ token }) => token)).toEqual([1, 3]);
    drawn.likeliest!.forEach(({ token, logProbability }) => expect(logProbability).toBeCloseTo(expected[token]!, 6));
    expect(createSampler({ ...plain, logProbabilities: 0 }).next(logits.slice(), []).likeliest).toEqual([]);
    expect(createSampler(plain).next(logits.slice(), [])).not.toHaveProperty('logProbability');
  });

  test('the token drawn is always one that the filters keep', () => {
    fc.assert(
      fc.property(
        fc.float32Array({ minLength: 1, maxLength: 40, noNaN: true, min: -50, max: 50 }),
        fc.record({ temperature: fc.double({ min: 0.01, max: 5, noNaN: true }), topK: fc.nat(50), topP: fc.double({ min: 1e-6, max: 1, noNaN: true }), minP: fc.double({ min: 0, max: 1, noNaN: true }), seed: fc.nat() }),
        (values, params) => {
          const { token } = createSampler({ ...plain, ...params }).next(values.slice(), []);
          expect(token).toBeGreaterThanOrEqual(0);
          expect(token).toBeLessThan(values.length);
          if (params.topK === 1) expect(values[token]).toBe(Math.max(...values));
        },
      ),
    );
  });
});
