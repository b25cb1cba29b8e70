import { type DenseTensor, type DType, type ValueInfo, tensorType } from '@penjing/core';
import { describe, expect, test } from 'vitest';
import { randomFeeds } from './random-feeds.js';

const input = (name: string, dtype: DType, shape: readonly (number | string | null)[]): ValueInfo => ({ name, type: tensorType(dtype, shape) });
const data = (feeds: ReturnType<typeof randomFeeds>, name: string): (number | bigint)[] => [...((feeds[name] as DenseTensor).data as Iterable<number>)];

describe('random feeds', () => {
  test('symbols become small sizes, unless they are given', () => {
    const x = input('x', 'float32', ['batch', 3, 'height', null]);
    expect(randomFeeds([x])['x']!.shape).toEqual([1, 3, 8, 8]);
    expect(randomFeeds([x], { dims: { height: 5 } })['x']!.shape).toEqual([1, 3, 5, 8]);
    expect(randomFeeds([x], { shapes: { x: [2, 3, 4, 4] }, dims: { height: 5 } })['x']!.shape).toEqual([2, 3, 4, 4]);
    expect(randomFeeds([input('constructor', 'float32', ['toString'])])['constructor']!.shape).toEqual([1]);
  });

  test('the seed decides', () => {
    const x = input('x', 'float32', [64]);
    const values = (seed: number): (number | bigint)[] => data(randomFeeds([x], { seed }), 'x');
    expect(values(1)).toEqual(values(1));
    expect(values(1)).not.toEqual(values(2));
    expect(values(1).some((value) => value < 0)).toBe(true);
  });

  test('masks, positions and token ids mean what they mean', () => {
    const feeds = randomFeeds(['input_ids', 'attention_mask', 'position_ids', 'token_type_ids'].map((name) => input(name, 'int64', [1, 4])));
    expect(data(feeds, 'attention_mask')).toEqual([1n, 1n, 1n, 1n]);
    expect(data(feeds, 'position_ids')).toEqual([0n, 1n, 2n, 3n]);
    expect(data(feeds, 'token_type_ids')).toEqual([0n, 0n, 0n, 0n]);
    expect(data(feeds, 'input_ids').every((id) => id >= 0n && id < 100n)).toBe(true);
  });

  test.each(['float16', 'float64', 'int8', 'uint8', 'int32', 'uint64', 'bool', 'string'] as const)('%s', (dtype) => {
    const { x } = randomFeeds([input('x', dtype, [2, 3])]);
    expect(x).toMatchObject({ dtype, shape: [2, 3] });
  });

  test('what cannot be made up is named', () => {
    expect(() => randomFeeds([{ name: 'list', type: { kind: 'sequence', of: tensorType('float32') } }])).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED' }) as Error);
    expect(() => randomFeeds([{ name: 'free', type: tensorType('float32') }])).toThrow(expect.objectContaining({ code: 'E_INPUT', message: expect.stringContaining('free') as string }) as Error);
  });
});
