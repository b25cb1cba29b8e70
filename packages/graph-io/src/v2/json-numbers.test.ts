/** Numbers are what `JSON.parse` makes of them, to the last bit, or the reader gives up. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type NumberArray, readNumbers } from './json-numbers.js';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function read<A extends NumberArray>(text: string, out: A, shape: readonly number[] = [out.length]): A | undefined {
  const bytes = encode(`  ${text}}`);
  return readNumbers(bytes, 2, bytes.length - 1, shape, out) ? out : undefined;
}

const digits = fc.stringMatching(/^[0-9]{1,25}$/);
const literal = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.float({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.integer().map(String),
  fc.tuple(fc.constantFrom('', '-'), digits, fc.option(digits), fc.option(fc.tuple(fc.constantFrom('e', 'E', 'e-', 'E+'), fc.integer({ min: 0, max: 330 })))).map(([sign, whole, part, exponent]) => `${sign}${BigInt(whole)}${part === null ? '' : `.${part}`}${exponent ? exponent.join('') : ''}`),
);

describe('floats', () => {
  test.each([Float32Array, Float64Array])('%o: as JSON.parse has them', (array) => {
    fc.assert(fc.property(fc.array(literal, { minLength: 1, maxLength: 12 }), fc.constantFrom(',', ' , ', ',\n\t'), (literals, comma) => {
      const text = `[${literals.join(comma)}]`;
      const expected = array.from(JSON.parse(text) as number[]);
      const seen = read(text, new array(literals.length));
      if (expected.every(Number.isFinite)) expect(seen).toEqual(expected);
      else expect(seen).toBeUndefined();
    }), { numRuns: 3000 });
  });

  test('beside the middle of two float32 the last bit decides', () => {
    fc.assert(fc.property(fc.float({ noNaN: true, min: Math.fround(1e-18), max: Math.fround(1e18) }), fc.integer({ min: -3, max: 3 }), fc.integer({ min: 17, max: 21 }), (value, steps, precision) => {
      const bits = new Uint32Array(Float32Array.of(value).buffer);
      const above = new Float32Array(Uint32Array.of(bits[0]! + 1).buffer)[0]!;
      const middle = new Float64Array([(value + above) / 2]);
      new BigInt64Array(middle.buffer)[0]! += BigInt(steps);
      const text = `[${middle[0]!.toPrecision(precision)}]`;
      expect(read(text, new Float32Array(1))).toEqual(Float32Array.from(JSON.parse(text) as number[]));
    }), { numRuns: 3000 });
  });
});

test('digits about 2^53, which a sum of them rounds', () => {
  for (let digits = 2n ** 53n - 4n; digits <= 2n ** 53n + 4n; digits++) {
    for (const exponent of ['', 'e1', 'e-1', 'e5', 'e22', 'e-22']) {
      const text = `[${digits}${exponent}]`;
      for (const array of [Float64Array, Float32Array]) expect(read(text, new array(1)), text).toEqual(array.from(JSON.parse(text) as number[]));
    }
  }
});

test('gives up on a number that is longer than any has to be', () => {
  for (const long of [`0.${'1'.repeat(100)}`, '1'.repeat(100), `-0.${'0'.repeat(100)}1`, `1${'0'.repeat(64)}`]) expect(read(`[${long}]`, new Float64Array(1)), long).toBeUndefined();
  expect(read(`[0.${'1'.repeat(60)}]`, new Float64Array(1))).toEqual(Float64Array.of(1 / 9));
});

test('integers within their range', () => {
  expect(read('[1, -2,127,-128]', new Int8Array(4))).toEqual(Int8Array.of(1, -2, 127, -128));
  expect(read('[4294967295,1e3,1.0,20e-1]', new Uint32Array(4))).toEqual(Uint32Array.of(4294967295, 1000, 1, 2));
  for (const bad of ['[128]', '[-129]', '[0.5]', '[1e-1]', '[9007199254740993]']) expect(read(bad, new Int8Array(1)), bad).toBeUndefined();
  expect(read('[-1]', new Uint16Array(1))).toBeUndefined();
});

test('lists nested as the shape says', () => {
  expect(read('[[1,2,3],[4,5,6]]', new Int32Array(6), [2, 3])).toEqual(Int32Array.of(1, 2, 3, 4, 5, 6));
  expect(read(' [ [ [1],[2] ] , [ [3] , [4] ] ]'.trim(), new Int32Array(4), [2, 2, 1])).toEqual(Int32Array.of(1, 2, 3, 4));
  expect(read('[1,2,3,4,5,6]', new Int32Array(6), [2, 3])).toEqual(Int32Array.of(1, 2, 3, 4, 5, 6));
  for (const bad of ['[[1,2],[3,4],[5,6]]', '[[1,2,3,4,5,6]]', '[[1,2,3],[4,5,6],[]]', '[[1,2,3],4,5,6]', '[1,2,3,[4,5,6]]', '[[[1,2,3],[4,5,6]]]']) expect(read(bad, new Int32Array(6), [2, 3]), bad).toBeUndefined();
});

test.each(['', '[', '[]', '[1', '[1,]', '[,1]', '[1 2]', '[01]', '[-]', '[+1]', '[.5]', '[1.]', '[1e]', '[1e+]', '[0x1]', '[1]]', '[1],', '[1,2]', '["1"]', '[null]', '[true]', '[NaN]', '[Infinity]', '[1\u00a0]', '[1\u000b]', '[1e99999]', '1', '{"0":1}'])('gives up on %s', (text) => {
  expect(read(text, new Float64Array(1))).toBeUndefined();
});
