/** Regular expressions as expressions of EBNF. */
import { type CharSet, charsOf, charSet, complement, hasChar, literalText, union, without } from './char-set.js';
import { grammarError } from './grammar-error.js';
import { type ParsedRegex, parseRegex, type Regex } from './regex.js';
import { classText } from './utf8-class.js';

/** A grammar of the texts that match the whole of a pattern. Throws `E_GRAMMAR`. */
export function regexGrammar(pattern: string): string {
  return `root ::= ${expression(parseRegex(pattern).regex, classOf)}\n`;
}

const classOf = (set: CharSet): string => (set.length === 0 ? nothing() : classText(set));

/** What stands for itself between the quotes of JSON (RFC 8259, 7). */
export const PLAIN_IN_JSON = without(complement(charsOf('"\\')), charSet([0, 0x1f]));
/** What stands there with a short escape. `\u` is left out: everything else has a plain form, and one form is enough to write. */
const ESCAPES: readonly (readonly [char: string, escape: string])[] = [['"', '\\"'], ['\\', '\\\\'], ['\b', '\\b'], ['\f', '\\f'], ['\n', '\\n'], ['\r', '\\r'], ['\t', '\\t']];

/** A character of a set as JSON writes it between quotes. */
export function jsonChar(set: CharSet): string {
  const plain = without(set, complement(PLAIN_IN_JSON));
  const parts = [...(plain.length > 0 ? [classText(plain)] : []), ...ESCAPES.filter(([char]) => hasChar(set, char.charCodeAt(0))).map(([, escape]) => literalText(escape))];
  if (parts.length === 0) return nothing();
  return parts.length === 1 ? parts[0]! : `(${parts.join(' | ')})`;
}

/** Any character of a JSON string. */
export const anyJsonChar = jsonChar(union(PLAIN_IN_JSON, charsOf(ESCAPES.map(([char]) => char).join(''))));

/** The inside of a JSON string in which a pattern is found; without `^` and `$`, anywhere. */
export function jsonPattern(pattern: string): string {
  const { regex, anchoredStart, anchoredEnd }: ParsedRegex = parseRegex(pattern);
  return `${anchoredStart ? '' : `${anyJsonChar}* `}${expression(regex, jsonChar)}${anchoredEnd ? '' : ` ${anyJsonChar}*`}`;
}

function expression(regex: Regex, spell: (set: CharSet) => string): string {
  switch (regex.kind) {
    case 'chars':
      return spell(regex.set);
    case 'sequence':
      return regex.parts.length === 0 ? '""' : `(${regex.parts.map((part) => expression(part, spell)).join(' ')})`;
    case 'choice':
      return `(${regex.parts.map((part) => expression(part, spell)).join(' | ')})`;
    case 'repeat': {
      const { least, most } = regex;
      if (most === 0) return '""';
      return `${expression(regex.part, spell)}${repeatText(least, most)}`;
    }
  }
}

/** A quantifier of EBNF. */
export function repeatText(least: number, most: number | undefined): string {
  if (most === undefined) return least === 0 ? '*' : least === 1 ? '+' : `{${least},}`;
  return least === 1 && most === 1 ? '' : `{${least},${most}}`;
}

function nothing(): never {
  throw grammarError('a class of the pattern has no character that could be written');
}
