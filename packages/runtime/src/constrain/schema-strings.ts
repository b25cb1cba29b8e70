/** Strings of a JSON schema: their lengths, patterns and formats, and names that are not among some. */
import { charsOf, literalText, without } from './char-set.js';
import { grammarError } from './grammar-error.js';
import { anyJsonChar, jsonPattern, PLAIN_IN_JSON, repeatText } from './regex-grammar.js';
import { classText } from './utf8-class.js';

const DATE = '[0-9]{4}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)';
const TIME = '([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])';
const BYTE = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const LABEL = '[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?';
/** Formats of JSON Schema 2020-12, 7.3, that are held to: of each, a part that is certainly right. The rest are remarks, as the standard has it. */
const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE}T${TIME}`,
  uuid: '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
  ipv4: `(${BYTE}\\.){3}${BYTE}`,
  email: `[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,16}){0,2}@(${LABEL}\\.){1,3}[A-Za-z]{2,12}`,
  hostname: `(${LABEL}\\.){0,3}${LABEL}`,
};

export interface StringLimits {
  readonly minLength: number | undefined;
  readonly maxLength: number | undefined;
  readonly pattern: string | undefined;
  readonly format: string | undefined;
}

/** A string with its quotes. Throws `E_GRAMMAR` for two limits that one grammar cannot join. */
export function stringText({ minLength = 0, maxLength, pattern, format }: StringLimits, place: string): string {
  const known = format !== undefined && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
  const limited = minLength > 0 || maxLength !== undefined;
  if (Number(pattern !== undefined) + Number(known !== undefined) + Number(limited) > 1) throw grammarError(`${place} limits a string by two of pattern, format and length`, 'Say it in one pattern: ^[a-z]{2,5}$ has a length too.');
  if (maxLength !== undefined && maxLength < minLength) throw grammarError(`${place} allows no string: minLength ${minLength} is above maxLength ${maxLength}`);
  const inner = known !== undefined ? jsonPattern(`^${known.includes('|') ? `(${known})` : known}$`) : pattern !== undefined ? jsonPattern(pattern) : maxLength === 0 ? '""' : `${anyJsonChar}${repeatText(minLength, maxLength)}`;
  return `"\\"" ${inner} "\\""`;
}

interface Branch {
  readonly next: Map<string, Branch>;
  ends: boolean;
}

/**
 * Strings, with quotes, that are none of `names`: at each character that some name goes on with, the others are free. Escapes are left out, so that no name comes in disguise.
 * `rule` makes a rule of an expression and gives its name.
 */
export function otherNames(names: readonly string[], rule: (hint: string, text: string) => string): string {
  const root: Branch = { next: new Map(), ends: false };
  for (const name of names) {
    let branch = root;
    for (const char of name) {
      if (!branch.next.has(char)) branch.next.set(char, { next: new Map(), ends: false });
      branch = branch.next.get(char)!;
    }
    branch.ends = true;
  }
  const plain = classText(PLAIN_IN_JSON);
  const text = ({ next, ends }: Branch): string => {
    const free = `${classText(without(PLAIN_IN_JSON, charsOf([...next.keys()].join(''))))} ${plain}*`;
    const parts = [...(ends ? [] : ['""']), free];
    for (const [char, branch] of next) if (without(charsOf(char), PLAIN_IN_JSON).length === 0) parts.push(`${literalText(char)} ${rule('name', text(branch))}`);
    return `(${parts.join(' | ')})`;
  };
  return `"\\"" ${text(root)} "\\""`;
}
