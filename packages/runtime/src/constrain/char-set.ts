/** Sets of characters, as ranges of code points. */

/** Ascending ranges, both ends included, that neither meet nor touch; surrogates are in none, since no text has them alone. */
export type CharSet = readonly (readonly [first: number, last: number])[];

const LAST = 0x10ffff;
const SURROGATES = [0xd800, 0xdfff] as const;

export function charSet(...ranges: readonly (readonly [first: number, last: number])[]): CharSet {
  const out: [number, number][] = [];
  const parts = ranges.flatMap(([first, last]) => [[first, Math.min(last, SURROGATES[0] - 1)], [Math.max(first, SURROGATES[1] + 1), last]] as const);
  for (const [first, last] of [...parts].sort((a, b) => a[0] - b[0])) {
    if (first > last) continue;
    const before = out.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else out.push([first, last]);
  }
  return out;
}

export const union = (...sets: readonly CharSet[]): CharSet => charSet(...sets.flat());

export function complement(set: CharSet): CharSet {
  const out: [number, number][] = [];
  let next = 0;
  for (const [first, last] of set) {
    if (first > next) out.push([next, first - 1]);
    next = last + 1;
  }
  return charSet(...out, [next, LAST]);
}

export const without = (set: CharSet, other: CharSet): CharSet => complement(union(complement(set), other));

export const charsOf = (text: string): CharSet => charSet(...Array.from(text, (char) => [char.codePointAt(0)!, char.codePointAt(0)!] as const));

export const hasChar = (set: CharSet, code: number): boolean => set.some(([first, last]) => first <= code && code <= last);

/** As a literal of EBNF. */
export function literalText(text: string): string {
  return `"${Array.from(text, (char) => escaped(char.codePointAt(0)!)).join('')}"`;
}

/** Letters, digits and what means nothing in a literal stand for themselves. */
function escaped(code: number): string {
  const char = String.fromCodePoint(code);
  if (/[A-Za-z0-9 _.,:;{}()<>=+*/!?'@#$%&|~]/.test(char)) return char;
  return code <= 0xffff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
}
