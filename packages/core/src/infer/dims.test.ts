import { describe, expect, it } from 'vitest';
import { addDims, broadcastAll, exactQuotient, floorDivideDims, multiplyDims, sameDim, subtractDims } from './dims.js';

describe('symbolic dimensions', () => {
  it('adds and multiplies to one form', () => {
    expect(addDims('seq', 'past')).toBe('past + seq');
    expect(addDims('past + seq', 3)).toBe('past + seq + 3');
    expect(subtractDims('past + seq', 'past')).toBe('seq');
    expect(multiplyDims('seq', 'batch')).toBe('batch*seq');
    expect(multiplyDims('a + 1', 2)).toBe('2*a + 2');
    expect(multiplyDims(0, null)).toBe(0);
    expect(addDims('a', null)).toBeNull();
    expect(subtractDims('a', 'a')).toBe(0);
    expect(subtractDims(1, 'a')).toBe('-a + 1');
    expect(addDims('-a + 1', 'a')).toBe(1);
  });

  it('divides exactly or says floor', () => {
    expect(exactQuotient('2*batch*seq', 'batch')).toBe('2*seq');
    expect(floorDivideDims('a + 1', 2)).toBe('floor((a + 1)/2)');
    expect(addDims('floor((a + 1)/2)', 1)).toBe('floor((a + 1)/2) + 1');
    expect(floorDivideDims(7, 2)).toBe(3);
  });

  it('reads sums written by others, and takes anything else as one symbol', () => {
    expect(sameDim('past_sequence_length + 1', '1+past_sequence_length')).toBe(true);
    expect(addDims('unk__0 !', 0)).toBe('unk__0 !');
  });

  it('broadcasts', () => {
    expect(broadcastAll([['b', 1, 3], ['b', 's', 1]])).toEqual(['b', 's', 3]);
    expect(broadcastAll([[2], [3]])).toBeUndefined();
    expect(broadcastAll([['a'], ['b']])).toEqual([null]);
    expect(broadcastAll([['a'], [4]])).toEqual([4]);
    expect(broadcastAll([['total'], ['past + seq']])).toEqual(['past + seq']);
  });
});
