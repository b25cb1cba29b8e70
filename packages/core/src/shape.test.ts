import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { broadcastShapes, elementCount, matrixView, normalizeAxis, stridesOf } from './shape.js';

const shapes = fc.array(fc.nat({ max: 6 }), { maxLength: 5 });

describe('shapes', () => {
  test('strides address every element once', () => {
    fc.assert(fc.property(shapes, (shape) => {
      const strides = stridesOf(shape);
      const count = elementCount(shape);
      const offsets = Array.from({ length: count }, (_, i) => {
        let rest = i;
        return shape.map((_, axis) => {
          const index = Math.floor(rest / strides[axis]!);
          rest -= index * strides[axis]!;
          return index;
        });
      });
      expect(new Set(offsets.map((index) => index.join())).size).toBe(count);
      for (const index of offsets) expect(index.every((at, axis) => at < shape[axis]!)).toBe(true);
    }));
  });

  test('the matrix view holds the same elements', () => {
    fc.assert(fc.property(shapes, (shape) => {
      const { rows, cols } = matrixView(shape);
      expect(rows * cols).toBe(elementCount(shape));
    }));
  });

  test('broadcasting is commutative, and associative with itself', () => {
    fc.assert(fc.property(shapes, fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }), (shape, ones) => {
      const other = shape.map((dim, i) => (ones[i] ? 1 : dim)).slice(ones[4] && shape.length > 0 ? 1 : 0);
      const out = broadcastShapes(shape, other);
      expect(out).toEqual(shape);
      expect(broadcastShapes(other, shape)).toEqual(out);
      expect(broadcastShapes(out, out)).toEqual(out);
    }));
    expect(broadcastShapes([3, 1], [1, 0])).toEqual([3, 0]);
    expect(() => broadcastShapes([2], [3])).toThrow(/\[2\] and \[3\]/);
    expect(() => broadcastShapes([2], [0])).toThrow(/do not broadcast/);
  });

  test.each([[[-1]], [[1.5]], [[Number.NaN]], [[2 ** 40, 2 ** 40]], [[2 ** 60]]])('%j is no shape', (shape) => {
    expect(() => elementCount(shape)).toThrow(expect.objectContaining({ code: 'E_SHAPE' }));
  });

  test('axes count from either end', () => {
    expect([normalizeAxis(-1, 3), normalizeAxis(0, 3)]).toEqual([2, 0]);
    for (const axis of [3, -4, 0.5]) expect(() => normalizeAxis(axis, 3)).toThrow(/outside a tensor of rank 3/);
    expect(() => normalizeAxis(0, 0)).toThrow(/rank 0/);
  });
});
