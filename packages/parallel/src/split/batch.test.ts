import { denseOf, encodeText, StringTensor, tensorType, type ValueInfo } from '@penjing/core';
import { describe, expect, test } from 'vitest';
import { batchRows, cutFeeds, findBatch, joinOutputs, shareRows } from './batch.js';

const value = (name: string, ...shape: (string | number | null)[]): ValueInfo => ({ name, type: tensorType('float32', shape) });

describe('findBatch', () => {
  test('the symbol that inputs and all outputs share, by its axis in each', () => {
    const axes = findBatch([value('x', 'batch', 'time'), value('table', 5)], [value('y', 'time', 'batch'), value('z', 'batch')]);
    expect(axes).toEqual({ symbol: 'batch', inputs: { x: 0 }, outputs: { y: 1, z: 0 } });
  });

  test('none where an output does not have it, and none under a name that may be time', () => {
    expect(findBatch([value('x', 'batch')], [value('y', 'batch'), value('loss')])).toBeUndefined();
    expect(findBatch([value('x', 'length', 3)], [value('y', 'length')])).toBeUndefined();
    expect(findBatch([value('x', 'length', 3)], [value('y', 'length')], 'length')).toEqual({ symbol: 'length', inputs: { x: 0 }, outputs: { y: 0 } });
    expect(findBatch([value('x', 'batch', 3)], [value('y', 'batch', 'batch')])).toBeUndefined();
    expect(findBatch([value('x', 1, 3)], [value('y', 1)])).toBeUndefined();
  });
});

test('shares are even, in order, and begin at multiples of the grain', () => {
  const sizes = (rows: number, parts: number, grain?: number): number[] => shareRows(rows, parts, grain).map(({ start, end }) => end - start);
  expect(sizes(8, 3)).toEqual([2, 3, 3]);
  expect(sizes(3, 8)).toEqual([1, 1, 1]);
  expect(sizes(5, 4, 2)).toEqual([2, 3]);
  expect(sizes(1, 4, 2)).toEqual([1]);
  expect(sizes(19, 3, 4)).toEqual([4, 4, 11]);
  expect(sizes(24, 3, 4)).toEqual([8, 8, 8]);
  expect(sizes(0, 4)).toEqual([0]);
});

describe('cutting and joining', () => {
  const x = denseOf('float32', [2, 4, 3], Array.from({ length: 24 }, (_, i) => i));
  const words = new StringTensor([4], ['a', 'b', 'c', 'd'].map(encodeText));

  test.each([['outermost', { x: 0 }, 2], ['inner', { x: 1 }, 4], ['innermost', { x: 2 }, 3]] as const)('pieces along the %s axis come together as they were', (_, axes, rows) => {
    const ranges = shareRows(rows, 2);
    const batch = { symbol: 'n', inputs: axes, outputs: axes };
    const pieces = ranges.map((range) => cutFeeds({ x }, batch, rows, range));
    expect(joinOutputs(pieces, ranges, batch)['x']).toEqual(x);
  });

  test('strings too; what has no batch, or one row to be broadcast, goes to all', () => {
    const axes = { symbol: 'n', inputs: { words: 0, one: 0 }, outputs: { words: 0 } };
    const feeds = { words, one: denseOf('int64', [1], [7]), table: denseOf('int64', [4], [1, 2, 3, 4]) };
    expect(batchRows(feeds, axes)).toBe(4);
    const ranges = shareRows(4, 3);
    const pieces = ranges.map((range) => cutFeeds(feeds, axes, 4, range));
    for (const piece of pieces) expect([piece['one'], piece['table']]).toEqual([feeds.one, feeds.table]);
    expect(joinOutputs(pieces.map(({ words: cut }) => ({ words: cut! })), ranges, axes)['words']).toEqual(words);
  });

  test('rows of the outermost axis are not copied', () => {
    const piece = cutFeeds({ x }, { symbol: 'n', inputs: { x: 0 }, outputs: { x: 0 } }, 2, { start: 1, end: 2 })['x']!;
    expect(piece.kind === 'dense' && piece.bytes.buffer).toBe(x.bytes.buffer);
  });

  test('inputs that disagree, and outputs that lost rows, are told', () => {
    const axes = { symbol: 'n', inputs: { a: 0, b: 0 }, outputs: { a: 0 } };
    expect(() => batchRows({ a: denseOf('int64', [3], [1, 2, 3]), b: denseOf('int64', [2], [1, 2]) }, axes)).toThrow(expect.objectContaining({ code: 'E_SHAPE' }));
    const ranges = shareRows(4, 2);
    expect(() => joinOutputs([{ a: denseOf('int64', [1], [1]) }, { a: denseOf('int64', [2], [1, 2]) }], ranges, axes)).toThrow(expect.objectContaining({ code: 'E_SHAPE' }));
  });
});
