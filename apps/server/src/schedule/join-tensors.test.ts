import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { WireTensor } from '../host/protocol.js';
import { bucketOf, hasBatchAxis, joinTensors, rowsOf, splitTensors, type Tensors } from './join-tensors.js';

const numbers = (shape: readonly number[], bytes: readonly number[]): WireTensor => ({ dtype: 'int16', shape, data: Uint8Array.from(bytes).buffer });
const plain = (tensors: Tensors): object => Object.fromEntries(Object.entries(tensors).map(([name, { data, ...rest }]) => [name, { ...rest, data: data instanceof ArrayBuffer ? [...new Uint8Array(data)] : data }]));

test('what was joined comes apart again', () => {
  const request = (cells: readonly number[]) => fc.integer({ min: 1, max: 4 }).chain((rows) => {
    const count = cells.reduce((product, size) => product * size, rows);
    return fc.record({
      x: fc.uint8Array({ minLength: count * 2, maxLength: count * 2 }).map((bytes) => numbers([rows, ...cells], [...bytes])),
      s: fc.array(fc.string(), { minLength: rows, maxLength: rows }).map((data): WireTensor => ({ dtype: 'string', shape: [rows], data })),
    });
  });
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 2 }).chain((cells) => fc.array(request(cells), { minLength: 1, maxLength: 5 })), (requests) => {
    const joined = joinTensors(requests);
    const rows = requests.map((tensors) => rowsOf(tensors)!);
    expect(joined['x']!.shape[0]).toBe(rows.reduce((sum, count) => sum + count, 0));
    expect(splitTensors(joined, rows).map(plain)).toEqual(requests.map(plain));
  }));
});

test('an output without a row for each of the input is named', () => {
  expect(() => splitTensors({ y: numbers([1], [0, 0]) }, [1, 1])).toThrow(/output y has the shape \[1\] for a batch of 2 rows/);
});

test('buckets part what cannot be joined', () => {
  const a = { x: numbers([1, 2], [0, 0, 0, 0]), y: numbers([1], [0, 0]) };
  expect(bucketOf(a, undefined)).toBe(bucketOf({ y: a.y, x: numbers([5, 2], []) }, undefined));
  const others = [bucketOf({ x: numbers([1, 3], []), y: a.y }, undefined), bucketOf({ x: a.x }, undefined), bucketOf(a, ['y']), bucketOf({ ...a, x: { ...a.x, dtype: 'uint16' } }, undefined)];
  expect(new Set([...others, bucketOf(a, undefined)]).size).toBe(5);
  expect(bucketOf(a, ['a', 'b'])).toBe(bucketOf(a, ['b', 'a']));
  expect([rowsOf(a), rowsOf({ x: a.x, y: numbers([2], []) }), rowsOf({ x: numbers([], []) }), rowsOf({ x: numbers([0], []) })]).toEqual([1, undefined, undefined, undefined]);
});

test('the batch is where all inputs and outputs begin with the same name', () => {
  const of = (...shapes: (readonly (number | string | null)[] | undefined)[]) => shapes.map((shape, i) => ({ name: `${i}`, shape }));
  expect(hasBatchAxis({ inputs: of(['N', 3], ['N']), outputs: of(['N', 'M']) })).toBe(true);
  expect(hasBatchAxis({ inputs: of(['batch_size']), outputs: of(['batch_size']) })).toBe(true);
  expect(hasBatchAxis({ inputs: of(['sequence']), outputs: of(['sequence']) })).toBe(false);
  expect(hasBatchAxis({ inputs: of(['N', 3], ['M']), outputs: of(['N']) })).toBe(false);
  expect(hasBatchAxis({ inputs: of(['N']), outputs: of([1]) })).toBe(false);
  expect(hasBatchAxis({ inputs: of([null]), outputs: of([null]) })).toBe(false);
  expect(hasBatchAxis({ inputs: [], outputs: of(['N']) })).toBe(false);
});
