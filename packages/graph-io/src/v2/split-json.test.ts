/** The search for tensor data looks at every byte a few times, whatever stands in a request. */
import { expect, test, vi } from 'vitest';
import { splitJson } from './split-json.js';

/** How many bytes `indexOf` looked at, of a body that is no request. */
function searched(bytes: Uint8Array): number {
  const search = vi.spyOn(bytes, 'indexOf');
  expect(() => splitJson(bytes, 'inputs')).toThrow(expect.objectContaining({ code: expect.stringMatching(/^E_(REQUEST|LIMIT)$/) as string }));
  return search.mock.calls.reduce((sum, [, start = 0], i) => {
    const found = search.mock.results[i]!.value as number;
    return sum + (found < 0 ? bytes.length : found + 1) - start;
  }, 0);
}

test.each([['nowhere', ''], ['at the end', ']']])('lists without an end, and the end of a list %s', (_where, end) => {
  const bytes = new TextEncoder().encode(`{"inputs":[{${'"data":[},'.repeat(1023)}"x":${' '.repeat(100_000)}${end}`);
  expect(searched(bytes)).toBeLessThan(2 * bytes.length);
});

test('ends of lists are found in turn', () => {
  const text = '{"inputs":[{"data":[1,2]},{"data":[[3],[4]]},{"data":["]"]},{"data":[5]}]}';
  const bytes = new TextEncoder().encode(text);
  expect(splitJson(bytes, 'inputs').ranges.map(({ start, end }) => text.slice(start, end))).toEqual(['[1,2]', '[[3],[4]]', '["]"]', '[5]']);
});
