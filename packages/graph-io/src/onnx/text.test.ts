import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeName, encodeName } from './text.js';

test('any bytes come back as they were', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
    expect(Buffer.compare(encodeName(decodeName(bytes)), bytes)).toBe(0);
  }), { numRuns: 500 });
});

test('well-formed text is plain UTF-8, a byte order mark included', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
    expect(decodeName(new TextEncoder().encode(text))).toBe(text);
    expect(Buffer.compare(encodeName(text), new TextEncoder().encode(text))).toBe(0);
  }), { numRuns: 50 });
  expect(decodeName(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa');
});

test('different bytes never become the same name', () => {
  expect(decodeName(Uint8Array.of(0x61, 0xff))).not.toBe(decodeName(Uint8Array.of(0x61, 0xfe)));
  expect(decodeName(Uint8Array.of(0xed, 0xb2, 0x80))).not.toBe(decodeName(Uint8Array.of(0x80))); // an encoded surrogate
});
