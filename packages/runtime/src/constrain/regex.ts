/** Reads regular expressions as ECMAScript writes them in Unicode mode (ECMA-262, 22.2), as far as a grammar can hold to them. */
import { type CharSet, charSet, charsOf, complement, union } from './char-set.js';
import { grammarError } from './grammar-error.js';

export type Regex =
  | { readonly kind: 'chars'; readonly set: CharSet }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Regex[] }
  /** `most` is absent for no limit. */
  | { readonly kind: 'repeat'; readonly part: Regex; readonly least: number; readonly most: number | undefined };

/** Whether the pattern says itself where its text begins and ends. */
export interface ParsedRegex {
  readonly regex: Regex;
  readonly anchoredStart: boolean;
  readonly anchoredEnd: boolean;
}

const DIGIT = charsOf('0123456789');
const WORD = union(DIGIT, charSet([0x41, 0x5a], [0x61, 0x7a]), charsOf('_'));
const SPACE = union(charsOf('\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff'), charSet([0x2000, 0x200a]));
const CLASSES: Readonly<Record<string, CharSet>> = { d: DIGIT, w: WORD, s: SPACE, D: complement(DIGIT), W: complement(WORD), S: complement(SPACE) };
const CONTROLS: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v', 0: '\0' };
const LINE_ENDS = charsOf('\n\r\u2028\u2029');

/** Groups within groups; each takes a piece of the stack. */
const DEEPEST = 100;
/** The largest number of a quantifier: more states than this are another kind of constraint. */
const MOST_REPEATS = 10_000;

/** Throws `E_GRAMMAR` naming the place for what is wrong, and for references, lookaround, boundaries and flags. */
export function parseRegex(pattern: string): ParsedRegex {
  const chars = Array.from(pattern);
  let at = 0;
  let depth = 0;
  const wrong = (what: string): never => {
    throw grammarError(`the pattern ${JSON.stringify(pattern.length > 80 ? `${pattern.slice(0, 80)}…` : pattern)} ${what}, at character ${at + 1}`);
  };
  const take = (char: string): boolean => chars[at] === char && (at++, true);
  const anchoredStart = take('^');

  const choice = (): Regex => {
    if (++depth > DEEPEST) wrong(`has more than ${DEEPEST} groups within each other`);
    const parts = [sequence()];
    while (take('|')) parts.push(sequence());
    depth--;
    return parts.length === 1 ? parts[0]! : { kind: 'choice', parts };
  };
  const sequence = (): Regex => {
    const parts: Regex[] = [];
    while (at < chars.length && chars[at] !== '|' && chars[at] !== ')' && !(chars[at] === '$' && at === chars.length - 1)) parts.push(quantified(atom()));
    return { kind: 'sequence', parts };
  };
  const atom = (): Regex => {
    const char = chars[at++]!;
    if (char === '(') return group();
    if (char === '[') return { kind: 'chars', set: bracket() };
    if (char === '.') return { kind: 'chars', set: complement(LINE_ENDS) };
    if (char === '\\') return { kind: 'chars', set: escape() };
    at--;
    if ('*+?{'.includes(char)) wrong(`has nothing to repeat before ${char}`);
    if ('^$'.includes(char)) wrong(`has ${char} within, which only its ends may have`);
    at++;
    return { kind: 'chars', set: charsOf(char) };
  };
  const group = (): Regex => {
    if (take('?') && !take(':')) {
      if (chars[at] === '<' && chars[at + 1] !== '=' && chars[at + 1] !== '!') while (at < chars.length && chars[at++] !== '>');
      else wrong('looks ahead or behind, or sets flags, which a grammar cannot');
    }
    const inner = choice();
    if (!take(')')) wrong('lacks a )');
    return inner;
  };
  const quantified = (part: Regex): Regex => {
    const counts = quantifier();
    if (!counts) return part;
    // Lazy or greedy: the same texts.
    take('?');
    const [least, most] = counts;
    if (Math.max(least, most ?? 0) > MOST_REPEATS) wrong(`repeats more than ${MOST_REPEATS} times`);
    if (most !== undefined && most < least) wrong('repeats at least more often than at most');
    return { kind: 'repeat', part, least, most };
  };
  const quantifier = (): readonly [number, number | undefined] | undefined => {
    if (take('*')) return [0, undefined];
    if (take('+')) return [1, undefined];
    if (take('?')) return [0, 1];
    if (chars[at] !== '{') return undefined;
    const match = /^\{(\d+)(,(\d*))?\}/.exec(chars.slice(at, at + 32).join(''));
    if (!match) return wrong('has a { that begins no quantifier; write \\{');
    at += match[0].length;
    return [Number(match[1]), match[2] === undefined ? Number(match[1]) : match[3] === '' ? undefined : Number(match[3])];
  };
  const escape = (): CharSet => {
    const char = chars[at++] ?? wrong('ends in \\');
    const known = CLASSES[char];
    if (known) return known;
    if (CONTROLS[char] !== undefined && !(char === '0' && /\d/.test(chars[at] ?? ''))) return charsOf(CONTROLS[char]);
    const hex = (length: number): CharSet => {
      const digits = chars.slice(at, at + length).join('');
      if (digits.length !== length || !/^[0-9a-f]+$/i.test(digits)) wrong(`needs ${length} hexadecimal digits after \\${char}`);
      at += length;
      return point(Number.parseInt(digits, 16));
    };
    const point = (code: number): CharSet => (charSet([code, code]).length === 0 || code > 0x10ffff ? wrong('names half a character or none') : charSet([code, code]));
    if (char === 'x') return hex(2);
    if (char === 'u') {
      const braces = /^\{([0-9a-f]{1,6})\}/i.exec(chars.slice(at, at + 8).join(''));
      if (!braces) return hex(4);
      at += braces[0].length;
      return point(Number.parseInt(braces[1]!, 16));
    }
    if (/[A-Za-z0-9]/.test(char)) wrong(`uses \\${char}, which is not known here`);
    return charsOf(char);
  };
  const bracket = (): CharSet => {
    const negated = take('^');
    const sets: CharSet[] = [];
    while (!take(']')) {
      if (at >= chars.length) wrong('lacks a ]');
      const first = classAtom();
      const single = first.length === 1 && first[0]![0] === first[0]![1] ? first[0]![0] : undefined;
      if (chars[at] === '-' && chars[at + 1] !== ']' && at + 1 < chars.length) {
        at++;
        const last = classAtom();
        if (single === undefined || last.length !== 1 || last[0]![0] !== last[0]![1] || last[0]![0] < single) wrong('has a range that runs from no character to another');
        sets.push(charSet([single!, last[0]![0]]));
      } else sets.push(first);
    }
    const set = union(...sets);
    return negated ? complement(set) : set;
  };
  const classAtom = (): CharSet => {
    const char = chars[at++]!;
    if (char !== '\\') return charsOf(char);
    if (take('b')) return charsOf('\b');
    return take('-') ? charsOf('-') : escape();
  };

  const regex = choice();
  const anchoredEnd = at === chars.length - 1 && take('$');
  if (at < chars.length) wrong('has a ) too many');
  // `^a|b$` anchors each side of it on its own.
  if ((anchoredStart || anchoredEnd) && regex.kind === 'choice') wrong('has ^ or $ on one side of |; put the choice in a group');
  return { regex, anchoredStart, anchoredEnd };
}
