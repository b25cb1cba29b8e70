import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readCharsmap } from './charsmap.js';

/** A charsmap of the array `units` and the texts behind it. */
function charsmap(units: readonly number[], texts: string): Uint8Array {
  const words = Uint8Array.from(new Uint8Array(Uint32Array.of(units.length * 4, ...units).buffer));
  return Uint8Array.of(...words, ...new TextEncoder().encode(texts));
}

/** Units by hand: the root's children begin at 256, so that "a" is at 256 ^ 97; its value stands at the start of its own children, 512. */
function one(from: string, texts: string, value: number): Uint8Array {
  const units = new Array<number>(1024).fill(0);
  const [char] = new TextEncoder().encode(from);
  const node = 256 ^ char!;
  units[0] = 256 << 10;
  units[node] = ((node ^ 512) << 10) | 0x100 | char!;
  units[512] = (0x80000000 | value) >>> 0;
  return charsmap(units, texts);
}

test('replaces what it knows and keeps the rest, incomplete characters as replacement characters', () => {
  const normalize = readCharsmap(one('a', 'no\0\u{1f332}\0', 3));
  expect(normalize('banana 盆')).toBe('b\u{1f332}n\u{1f332}n\u{1f332} 盆');
  expect(normalize('xyz')).toBe('xyz');
  expect(normalize('')).toBe('');
  expect(normalize('a\ud800')).toBe('\u{1f332}\ufffd');
  expect(readCharsmap(one('a', 'no\0', 2))('banana')).toBe('bnn');
  expect(readCharsmap(one('a', 'no\0', 900))('banana')).toBe('bnn');
});

test('refuses parts that do not fit, and replacements that would grow without bounds', () => {
  for (const bytes of [[], [1, 0, 0, 0], [4, 0, 0, 0, 1], [3, 0, 0, 0, 1, 2, 3, 4]]) {
    expect(() => readCharsmap(Uint8Array.from(bytes))).toThrow(expect.objectContaining({ code: 'E_TOKENIZER' }) as Error);
  }
  expect(() => readCharsmap(one('a', 'x'.repeat(300), 0))).toThrow(expect.objectContaining({ code: 'E_LIMIT' }) as Error);
});

test('any array ends', () => {
  fc.assert(
    fc.property(fc.uint32Array({ minLength: 1, maxLength: 600 }), fc.string({ unit: 'binary' }), fc.string({ maxLength: 200 }), (units, text, texts) => {
      expect(typeof readCharsmap(charsmap([...units], `${texts.slice(0, 100)}\0`))(text)).toBe('string');
    }),
  );
});
