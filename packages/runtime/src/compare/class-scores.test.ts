import { describe, expect, test } from 'vitest';
import { addConfusion, classScores, type Confusion, mergeConfusion } from './class-scores.js';
import { cosines, embeddingAmong } from './cosines.js';

const float32 = (shape: readonly number[], values: readonly number[]): { dtype: 'float32'; shape: readonly number[]; data: ArrayBuffer } => ({ dtype: 'float32', shape, data: Float32Array.from(values).buffer });

describe('classes one by one', () => {
  test('precision, recall and F1 are what their definitions give by hand', () => {
    // labels 0 0 0 1 1 2, found 0 0 1 1 1 0; class 3 was found once for label 2
    const confusion: Confusion = new Map();
    for (const [label, found] of [[0, 0], [0, 0], [0, 1], [1, 1]] as const) addConfusion(confusion, label, found);
    const other: Confusion = new Map();
    for (const [label, found] of [[1, 1], [2, 0], [2, 3]] as const) addConfusion(other, label, found);
    mergeConfusion(confusion, other);
    const { f1, classes, confusion: cells } = classScores(confusion, ['a', 'b']);
    expect(classes).toEqual([
      { label: 0, name: 'a', precision: 2 / 3, recall: 2 / 3, f1: expect.closeTo(2 / 3, 12) as number, support: 3 },
      { label: 1, name: 'b', precision: 2 / 3, recall: 1, f1: expect.closeTo(0.8, 12) as number, support: 2 },
      { label: 2, precision: 0, recall: 0, f1: 0, support: 2 },
      { label: 3, precision: 0, recall: 0, f1: 0, support: 0 },
    ]);
    expect(f1).toBeCloseTo((2 / 3 + 0.8) / 4, 12);
    expect(cells.find(({ label, found }) => label === 2 && found === 3)).toEqual({ label: 2, found: 3, rows: 1 });
    expect(cells.reduce((sum, { rows }) => sum + rows, 0)).toBe(7);
  });

  test('a row without a class is wrong and no class of its own', () => {
    const confusion: Confusion = new Map();
    addConfusion(confusion, 0, -1);
    addConfusion(confusion, 0, 0);
    const { classes, f1 } = classScores(confusion);
    expect(classes).toEqual([{ label: 0, precision: 1, recall: 0.5, f1: expect.closeTo(2 / 3, 12) as number, support: 2 }]);
    expect(f1).toBeCloseTo(2 / 3, 12);
    expect(classScores(new Map())).toEqual({ f1: 0, classes: [], confusion: [] });
  });
});

describe('cosines', () => {
  test('of rows, and of the mean of the tokens that count', () => {
    const a = float32([2, 2], [1, 0, 3, 4]);
    const b = float32([2, 2], [0, 1, 6, 8]);
    expect(cosines('y', a, b, undefined)).toMatchObject({ rows: 2, sum: 1, lowest: 0 });
    // (1, 2 tokens, 2): the second token is padding
    const left = float32([1, 2, 2], [1, 0, 5, 5]);
    const right = float32([1, 2, 2], [1, 0, -5, 7]);
    const mask = { dtype: 'int64' as const, shape: [1, 2], data: BigInt64Array.of(1n, 0n).buffer };
    expect(cosines('y', left, right, mask)).toMatchObject({ rows: 1, sum: 1 });
    expect(cosines('y', left, right, undefined).lowest).toBeLessThan(1);
    expect(cosines('y', float32([2, 1], [0, 0]), float32([2, 1], [0, 1]), undefined)).toMatchObject({ sum: 1, lowest: 0 });
    expect(cosines('y', a, b, undefined).counts.reduce((sum, count) => sum + count, 0)).toBe(2);
    expect(() => cosines('y', a, float32([2, 3], [1, 2, 3, 4, 5, 6]), undefined)).toThrow(/\[2, 2\] in one model/);
    expect(() => cosines('y', float32([2], [1, 2]), float32([2], [1, 2]), undefined)).toThrow(/no embeddings/);
  });

  test('the output that embeds is found by its name', () => {
    expect(embeddingAmong(['last_hidden_state', 'sentence_embedding'])).toBe('sentence_embedding');
    expect(embeddingAmong(['logits'])).toBeUndefined();
  });
});
