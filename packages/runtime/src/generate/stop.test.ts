import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createStopMatcher } from './stop.js';

function run(pieces: readonly string[], stops: readonly string[]): { text: string; stopped: boolean } {
  const matcher = createStopMatcher(stops);
  let text = '';
  for (const piece of pieces) {
    const result = matcher.push(piece);
    text += result.text;
    if (result.stopped) return { text, stopped: true };
  }
  return { text: text + matcher.end(), stopped: false };
}

test('a stop string is found across pieces', () => {
  expect(run(['one\n', '\nUs', 'er: two'], ['\n\nUser:'])).toEqual({ text: 'one', stopped: true });
});

test('the first of several stops wins', () => {
  expect(run(['abcdef'], ['ef', 'cd'])).toEqual({ text: 'ab', stopped: true });
});

test('text that only begins like a stop comes out in the end', () => {
  expect(run(['abc', 'ab'], ['abd'])).toEqual({ text: 'abcab', stopped: false });
});

test('however the text is cut, the result is that of the whole text', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 30 });
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 }), { maxLength: 3 });
  fc.assert(
    fc.property(letters, stops, fc.array(fc.nat(5)), (text, stopList, cuts) => {
      const pieces: string[] = [];
      let rest = text;
      for (const cut of cuts) {
        pieces.push(rest.slice(0, cut));
        rest = rest.slice(cut);
      }
      expect(run([...pieces, rest], stopList)).toEqual(run([text], stopList));
      expect(run([text], stopList).stopped).toBe(stopList.some((stop) => text.includes(stop)));
    }),
  );
});
