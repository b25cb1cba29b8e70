/** Where tokens lie in their text: tokenizers change texts before they cut them, and this follows the changes character by character. */
import { PenjingError } from '@penjing/core';

/** Places in the text, as `text.slice(start, end)` takes them; white space around a token is not of it. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface SpanLibrary {
  readonly normalizer: ((text: string) => string) | null;
  /** Whether tokens are bytes spelled as letters. */
  readonly byteLevel: boolean;
  readonly unknownToken: string | undefined;
  readonly isAdded: (token: string) => boolean;
  readonly continuingPrefix: string;
  readonly endOfWord: string;
}

interface Sign {
  readonly byte: number;
  /** Its character in the text. */
  readonly start: number;
  readonly end: number;
  /** White space lies before it. */
  readonly parted: boolean;
  /** A word may end on either side of what is no letter. */
  readonly letter: boolean;
}

const utf8 = new TextEncoder();
const LETTER = /[\p{L}\p{N}\p{M}]/u;
const SPACE = /[\s\u2581]/u;

/** Throws `E_TOKENIZER` for a tokenizer whose changes cannot be followed. */
export function tokenSpans(library: SpanLibrary, text: string, tokens: readonly string[]): Span[] {
  const plain = signsOf(text, (character) => character);
  const signs = library.normalizer ? signsOf(text, library.normalizer) : plain;
  const spans: Span[] = [];
  let at = 0;
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    const raw = library.isAdded(token);
    if (token === library.unknownToken && !matches(signs, at, surface(library, token, true))) {
      let after = i + 1;
      while (tokens[after] === token) after++;
      const next = tokens[after];
      for (const length of unknownLengths(signs, at, after - i, library.continuingPrefix !== '', next === undefined ? undefined : surface(library, next, library.isAdded(next)))) {
        spans.push(spanOf(signs, at, length));
        at += length;
      }
      i = after - 1;
      continue;
    }
    let bytes = surface(library, token, raw);
    // Added tokens are found before a text is changed, or after.
    if (raw && !matches(signs, at, bytes) && library.normalizer) bytes = bytesOf(library.normalizer(token));
    if (!matches(signs, at, bytes)) {
      throw new PenjingError('E_TOKENIZER', `the token ${token} cannot be found in its text`, { hint: 'The normalizer of tokenizer.json changes texts in a way that is not followed here.', details: { token, index: i } });
    }
    spans.push(spanOf(signs, at, bytes.length));
    at += bytes.length;
  }
  return spans;
}

/** Bytes of every character after its change, without white space. A change to nothing (an accent that goes) belongs to the character before. */
function signsOf(text: string, normalize: (text: string) => string): Sign[] {
  const signs: Sign[] = [];
  let parted = false;
  let start = 0;
  for (const character of text) {
    const end = start + character.length;
    const changed = normalize(character);
    let first = true;
    for (const piece of changed) {
      if (SPACE.test(piece)) {
        parted = true;
        continue;
      }
      for (const byte of utf8.encode(piece)) {
        signs.push({ byte, start, end, parted: parted && first, letter: LETTER.test(piece) });
        if (first) parted = false;
        first = false;
      }
    }
    if (changed === '' && signs.length > 0 && !SPACE.test(character)) signs[signs.length - 1] = { ...signs.at(-1)!, end };
    if (changed === '' && SPACE.test(character)) parted = true;
    start = end;
  }
  return signs;
}

function matches(signs: readonly Sign[], at: number, bytes: readonly number[]): boolean {
  return bytes.every((byte, i) => signs[at + i]?.byte === byte);
}

function spanOf(signs: readonly Sign[], at: number, length: number): Span {
  const before = signs[at - 1]?.end ?? 0;
  return length === 0 ? { start: before, end: before } : { start: signs[at]!.start, end: signs[at + length - 1]!.end };
}

/**
 * What `count` unknown tokens after each other stand for ends where the next known one begins. They share it by words where there are as many, else by characters: the last one takes what
 * is left.
 */
function unknownLengths(signs: readonly Sign[], at: number, count: number, wholeWords: boolean, next: readonly number[] | undefined): number[] {
  const borders: number[] = [];
  let end = at;
  for (; end < signs.length; end++) {
    const [sign, before] = [signs[end]!, signs[end - 1]];
    if (end > at && sign.start === before!.start) continue;
    // where words are known or unknown as a whole, none ends in its middle
    if (end > at && wholeWords && !sign.parted && sign.letter && before!.letter) continue;
    // a known token of white space alone leaves no trace but that
    if (next && borders.length > 0 && (next.length > 0 ? matches(signs, end, next) : sign.parted)) break;
    borders.push(end);
  }
  const words = borders.filter((border) => border === at || signs[border]!.parted);
  const starts = words.length >= count ? words : borders;
  const last = words.length > count ? words[count]! : end;
  return Array.from({ length: count }, (_, i) => Math.max(0, (i === count - 1 ? last : (starts[i + 1] ?? end)) - (starts[i] ?? end)));
}

function surface({ byteLevel, continuingPrefix, endOfWord }: SpanLibrary, token: string, raw: boolean): number[] {
  if (raw) return bytesOf(token);
  const fallback = /^<0x([0-9A-F]{2})>$/.exec(token);
  if (fallback) return [Number.parseInt(fallback[1]!, 16)];
  if (byteLevel) return [...token].map((letter) => byteOf(letter)).filter((byte) => ![9, 10, 11, 12, 13, 32].includes(byte));
  let text = continuingPrefix !== '' && token.startsWith(continuingPrefix) && token.length > continuingPrefix.length ? token.slice(continuingPrefix.length) : token;
  if (endOfWord !== '' && text.endsWith(endOfWord)) text = text.slice(0, -endOfWord.length);
  return bytesOf(text);
}

function bytesOf(text: string): number[] {
  return [...text].filter((character) => !SPACE.test(character)).flatMap((character) => [...utf8.encode(character)]);
}

/** GPT-2 spells bytes that are no visible Latin-1 letters as those from U+0100 on, in order. */
const letters = new Map<string, number>();
for (let byte = 0, extra = 0; byte < 256; byte++) {
  const visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  letters.set(String.fromCodePoint(visible ? byte : 256 + extra++), byte);
}

function byteOf(letter: string): number {
  return letters.get(letter) ?? -1;
}
