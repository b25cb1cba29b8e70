/** Windows of a text: where they start, and how much of it is tokenized for them. */
import { describe, expect, test } from 'vitest';
import { textWindows } from './text-feeds.js';

/** A token for every word, its number; special tokens are 999. */
function wordTokenizer(): { encode: (text: string, options?: { readonly specialTokens?: boolean }) => number[]; readonly read: () => number } {
  let characters = 0;
  return {
    read: () => characters,
    encode(text, { specialTokens = true } = {}) {
      characters += text.length;
      return [...(specialTokens ? [999] : []), ...text.split(/\s+/).filter((word) => word !== '').map(Number)];
    },
  };
}

const numbers = (count: number, digits: number): string => Array.from({ length: count }, (_, i) => String(i).padStart(digits, '0')).join(' ');

describe('textWindows', () => {
  test('of a long text tokenizes the places of the windows only, which start at whole words', () => {
    const tokenizer = wordTokenizer();
    const text = numbers(20_000, 5);
    const found = textWindows(tokenizer, text, 4, 10);
    expect(found).toHaveLength(4);
    expect(found[0]).toEqual([999, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    for (const [i, window] of found.slice(1).entries()) {
      expect(window).toEqual(Array.from({ length: 10 }, (_, k) => window[0]! + k));
      expect(Math.abs(window[0]! - (i + 1) * 5000)).toBeLessThan(2);
    }
    expect(tokenizer.read()).toBeLessThan(text.length / 100);
  });

  test('of a short text, and of one whose words are long, tokenizes all of it', () => {
    const short = wordTokenizer();
    expect(textWindows(short, numbers(30, 5), 4, 10)).toHaveLength(3);
    const long = wordTokenizer();
    const text = numbers(200, 300);
    const found = textWindows(long, text, 4, 10);
    expect(found.map((window) => window.length)).toEqual([10, 10, 10, 10]);
    expect(long.read()).toBeGreaterThan(text.length);
  });
});
