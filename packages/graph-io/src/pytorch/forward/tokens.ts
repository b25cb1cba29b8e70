/** Words of a forward expression: names, numbers, texts and signs, each with its place. */
import { PenjingError } from '@penjing/core';

export interface Token {
  readonly kind: 'name' | 'number' | 'text' | 'sign' | 'end';
  readonly text: string;
  readonly at: number;
}

/** A forward is a line or a few; more is no forward. */
const MAX_LENGTH = 1 << 16;

const word = /[A-Za-z_]\w*/y;
const number = /\d+(?:\.\d*)?(?:[eE][+-]?\d+)?/y;
const digits = /\d+/y;
const text = /'[^'\n]*'|"[^"\n]*"/y;
const sign = /\*\*|\/\/|\.\.\.|[-+*/@(),.=;:[\]]/y;
const space = /[ \t\r]+|#[^\n]*/y;

/** Line ends outside of brackets end a statement. Throws `E_FORWARD` for anything that is no word of the language. */
export function tokenize(source: string): Token[] {
  if (source.length > MAX_LENGTH) throw new PenjingError('E_FORWARD', `the forward has ${source.length} characters, at most ${MAX_LENGTH} are read`);
  const tokens: Token[] = [];
  let depth = 0;
  let at = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(source)?.[0];
  };
  const push = (kind: Token['kind'], found: string): void => {
    tokens.push({ kind, text: found, at });
    at += found.length;
  };
  while (at < source.length) {
    const blank = match(space);
    if (blank !== undefined) {
      at += blank.length;
      continue;
    }
    if (source[at] === '\n') {
      if (depth === 0) tokens.push({ kind: 'sign', text: ';', at });
      at++;
      continue;
    }
    // Behind a dot stands a name, which may be a number: `layer1.0.conv1`.
    const previous = tokens.at(-1);
    const afterDot = previous?.kind === 'sign' && previous.text === '.';
    const name = match(word) ?? (afterDot ? match(digits) : undefined);
    const figure = match(number);
    const quoted = match(text);
    const mark = match(sign);
    if (name !== undefined) push('name', name);
    else if (figure !== undefined) push('number', figure);
    else if (quoted !== undefined) push('text', quoted);
    else if (mark !== undefined) {
      if ('(['.includes(mark)) depth++;
      if (')]'.includes(mark)) depth--;
      push('sign', mark);
    } else throw wrong(source, at, `${JSON.stringify(source[at])} means nothing here`);
  }
  tokens.push({ kind: 'end', text: '', at });
  return tokens;
}

/** An error that shows the place in the line. */
export function wrong(source: string, at: number, why: string): PenjingError {
  const start = source.lastIndexOf('\n', at - 1) + 1;
  const end = source.indexOf('\n', at);
  const line = source.slice(start, end < 0 ? undefined : end);
  const from = Math.max(0, at - start - 60);
  const shown = line.slice(from, from + 100);
  return new PenjingError('E_FORWARD', `the forward cannot be read: ${why}\n  ${shown}\n  ${' '.repeat(at - start - from)}^`, { hint: "Write it as in 'fc2(relu(fc1(x)))'.", details: { at } });
}
