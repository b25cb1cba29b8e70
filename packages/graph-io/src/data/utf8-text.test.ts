import { encodeText, isPenjingError } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { utf8Text } from './utf8-text.js';

const read = (bytes: Uint8Array): string => utf8Text('a.txt', bytes, { hint: 'else' });
const said = 'Là où l’été s’achève, la forêt rêve.\n'.repeat(40);

describe('texts', () => {
  test('are what they were encoded from, also behind a mark', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }).filter((text) => !/\0|\uFFFD|^\uFEFF/.test(text)), (text) => {
      expect(read(encodeText(text))).toBe(text);
      expect(read(encodeText(`\uFEFF${text}`))).toBe(text);
    }));
  });

  test('may be cut in the midst of a character', () => {
    const bytes = encodeText(said);
    for (let end = bytes.length - 20; end < bytes.length; end++) expect(said.startsWith(read(bytes.subarray(0, end)).replace(/\uFFFD+$/, ''))).toBe(true);
  });

  test.each([
    ['latin1', /line 1 has other bytes/, /iconv -f ISO-8859-1/],
    ['utf16le', /is UTF-16/, /iconv -f UTF-16/],
  ] as const)('in %s are refused with what to do', (encoding, message, hint) => {
    const bytes = new Uint8Array(Buffer.from(encoding === 'utf16le' ? `\uFEFF${said}` : said, encoding));
    expect(() => read(bytes)).toThrow(expect.toSatisfy((error: unknown) => isPenjingError(error) && error.code === 'E_DATA' && message.test(error.message) && hint.test(error.hint ?? '')) as Error);
  });

  test('that are none are refused', () => {
    expect(() => read(Uint8Array.of(1, 0, 2))).toThrow(/no text/);
  });
});
