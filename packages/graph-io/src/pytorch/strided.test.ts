import { bytesOf, elementCount, memorySource } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stridedTensor } from './strided.js';

/** Element i of the storage is i. */
function storage(count: number): Parameters<typeof stridedTensor>[0] {
  const source = memorySource(bytesOf(Int32Array.from({ length: count + 3 }, (_, i) => i - 3)));
  return { source, offset: 12, byteLength: count * 4 };
}

/** What torch.as_strided gives. */
function expected(shape: readonly number[], strides: readonly number[], offset: number): number[] {
  return Array.from({ length: elementCount(shape) }, (_, flat) => {
    let rest = flat;
    let at = offset;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += (rest % shape[axis]!) * strides[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    return at;
  });
}

async function view(shape: readonly number[], strides: readonly number[], offset: number, count: number): Promise<{ values: number[]; ops: string }> {
  const tensor = stridedTensor(storage(count), { dtype: 'int32', shape, strides, offset }, 'x');
  expect(tensor.shape).toEqual(shape);
  return { values: [...new Int32Array((await tensor.load()).slice().buffer)], ops: JSON.stringify((tensor as { expr?: unknown }).expr) ?? '' };
}

describe('a view of a storage', () => {
  const axis = fc.record({ size: fc.integer({ min: 0, max: 4 }), stride: fc.integer({ min: 0, max: 12 }) });

  test('has the elements that its strides say', async () => {
    await fc.assert(fc.asyncProperty(fc.array(axis, { maxLength: 4 }), fc.nat(5), fc.nat(3), async (axes, offset, spare) => {
      const shape = axes.map(({ size }) => size);
      const strides = axes.map(({ stride }) => stride);
      const last = Math.max(offset, axes.reduce((sum, { size, stride }) => sum + Math.max(0, size - 1) * stride, offset));
      const { values } = await view(shape, strides, offset, last + 1 + spare);
      expect(values).toEqual(expected(shape, strides, offset));
    }), { numRuns: 400 });
  });

  test.each<[string, number[], number[], number, number]>([
    ['all of it', [3, 4], [4, 1], 0, 12],
    ['rows', [2, 4], [4, 1], 4, 12],
    ['a transpose', [4, 3], [1, 4], 0, 12],
    ['columns', [3, 2], [4, 1], 1, 12],
    ['every second column', [3, 2], [4, 2], 1, 12],
    ['a permutation of three axes', [4, 2, 3], [1, 12, 4], 0, 24],
    ['channels last', [2, 3, 4, 5], [60, 1, 15, 3], 0, 120],
    ['a repeated row', [5, 4], [0, 1], 4, 12],
    ['axes of one element, whatever their strides', [1, 3, 1, 4], [7, 4, 99, 1], 0, 12],
  ])('%s: by range, slice or transpose', async (_, shape, strides, offset, count) => {
    const { values, ops } = await view(shape, strides, offset, count);
    expect(values).toEqual(expected(shape, strides, offset));
    // The only gather is the one that repeats.
    expect(ops.includes('gather')).toBe(strides.includes(0));
  });

  test('beyond its storage is refused', async () => {
    await expect(view([3, 4], [4, 1], 1, 12)).rejects.toThrow(/x ends at element 13 of a storage that has 12/);
    await expect(view([2 ** 30, 2 ** 20], [2 ** 40, 1], 0, 12)).rejects.toMatchObject({ code: 'E_TRUNCATED' });
  });

  test('that overlaps itself is refused when it is large', async () => {
    await expect(view([1000, 1000], [1, 1], 0, 2000)).rejects.toMatchObject({ code: 'E_STRIDES' });
  });
});
