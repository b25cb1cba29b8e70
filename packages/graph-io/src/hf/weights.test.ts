import { DenseTensor, PenjingError, type Tensor } from '@penjing/core';
import { describe, expect, test } from 'vitest';
import { Weights } from './weights.js';

const table = DenseTensor.of('float32', [2, 2], Float32Array.of(1, 2, 3, 4));
const twin = DenseTensor.of('float32', [2, 2], Float32Array.of(1, 2, 3, 4));
const other = DenseTensor.of('float32', [2, 2], Float32Array.of(1, 2, 3, 5));

const weights = (tensors: Record<string, Tensor>): Weights => new Weights({ tensors: new Map(Object.entries(tensors)), metadata: new Map() }, 'float32');

describe('tied names', () => {
  test('one stored name serves both', async () => {
    for (const stored of ['table', 'head']) {
      const some = weights({ [stored]: table });
      expect(await some.tie('table', 'head')).toBe(true);
      expect(some.take('table', [2, 2])).toBe(table);
      expect(() => some.assertAllTaken([])).not.toThrow();
    }
  });

  test('equal copies are one', async () => {
    const both = weights({ table, head: twin });
    expect(await both.tie('table', 'head')).toBe(true);
    both.take('table', [2, 2]);
    expect(() => both.assertAllTaken([])).not.toThrow();
  });

  test('different ones stay two', async () => {
    const both = weights({ table, head: other });
    expect(await both.tie('table', 'head')).toBe(false);
    expect(both.take('head', [2, 2])).toBe(other);
  });
});

test('integers are no weights', () => {
  const packed = DenseTensor.of('int32', [1], Int32Array.of(7));
  expect(() => weights({ packed }).take('packed', [1])).toThrow(PenjingError);
});
