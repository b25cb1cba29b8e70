/** Sets of characters as the bytes of UTF-8: XGrammar 0.1.27 reads a class as one byte, whatever the grammar says. */
import type { CharSet } from './char-set.js';

type Bytes = readonly (readonly [first: number, last: number])[];

/** The last character of each number of bytes. */
const ENDS = [0x7f, 0x7ff, 0xffff, 0x10ffff] as const;

/** An expression of EBNF for one character of a set (not empty). */
export function classText(set: CharSet): string {
  const [single, ...longer] = [set.flatMap(([first, last]) => (first <= ENDS[0] ? [[first, Math.min(last, ENDS[0])] as const] : [])), ...set.flatMap(([first, last]) => sequences(first, last))];
  const parts = [...(single.length > 0 ? [byteClass(single)] : []), ...longer.map((bytes) => bytes.map((range) => byteClass([range])).join(' '))];
  return parts.length === 1 && (single.length > 0 || longer[0]!.length === 1) ? parts[0]! : `(${parts.join(' | ')})`;
}

/** Sequences of ranges of bytes for the characters beyond ASCII from `first` to `last`, none of which are surrogates. */
function sequences(first: number, last: number): Bytes[] {
  return ENDS.slice(1).flatMap((end, i) => {
    const [low, high] = [Math.max(first, ENDS[i]! + 1), Math.min(last, end)];
    return low > high ? [] : split(low, high, i + 1);
  });
}

/** Cuts a range so that in each piece every byte has a range of its own, whatever the others are. */
function split(first: number, last: number, following: number): Bytes[] {
  for (let i = 1; i <= following; i++) {
    const size = 64 ** i;
    if (Math.floor(first / size) === Math.floor(last / size)) continue;
    const ceil = Math.ceil(first / size) * size;
    if (ceil !== first) return [...split(first, ceil - 1, following), ...split(ceil, last, following)];
    const floor = Math.floor((last + 1) / size) * size;
    if (floor !== last + 1) return [...split(first, floor - 1, following), ...split(floor, last, following)];
  }
  const [low, high] = [new TextEncoder().encode(String.fromCodePoint(first)), new TextEncoder().encode(String.fromCodePoint(last))];
  return [Array.from(low, (byte, i) => [byte, high[i]!] as const)];
}

/** A lone byte stands twice: a class of one character would become a text, and be encoded once more. */
function byteClass(ranges: Bytes): string {
  const [only] = ranges;
  const spelt = ranges.length === 1 && only![0] === only![1] && only![0] > ENDS[0] ? [only!, only!] : ranges;
  return `[${spelt.map(([first, last]) => (first === last ? byteText(first) : `${byteText(first)}-${byteText(last)}`)).join('')}]`;
}

const byteText = (byte: number): string => (/[A-Za-z0-9]/.test(String.fromCharCode(byte)) && byte < 0x80 ? String.fromCharCode(byte) : `\\u${byte.toString(16).padStart(4, '0')}`);
