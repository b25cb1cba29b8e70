/** Grammars as users write them (EBNF, as GBNF of llama.cpp), with their character classes spelt for XGrammar. */
import { type CharSet, charSet, charsOf, complement, union } from './char-set.js';
import { grammarError } from './grammar-error.js';
import { classText } from './utf8-class.js';

/** Everything but classes stays: texts in quotes and comments are skipped. Throws `E_GRAMMAR` for a class that has no end or no character. */
export function spellClasses(grammar: string): string {
  return grammar.replace(/"(?:[^"\\\n]|\\.)*"|#[^\n]*|\[(?:[^\]\\\n]|\\.)*\]?/gsu, (part, at: number) => {
    if (!part.startsWith('[')) return part;
    if (!part.endsWith(']') || part === '[') throw grammarError(`the class that begins at character ${at + 1} of the grammar has no ]`);
    return classText(readClass(part.slice(1, -1), at));
  });
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v', b: '\b', a: '\u0007', e: '\u001b', 0: '\0' };
const ITEM = /\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})|\\(.)|(.)/gisu;

function readClass(inside: string, at: number): CharSet {
  const negated = inside.startsWith('^');
  const items = [...inside.slice(negated ? 1 : 0).matchAll(ITEM)].map(([, x, u, long, escaped, plain]) => {
    const hex = x ?? u ?? long;
    // A `-` that is escaped is no range.
    return { code: hex !== undefined ? Number.parseInt(hex, 16) : (ESCAPES[escaped ?? ''] ?? escaped ?? plain)!.codePointAt(0)!, dash: plain === '-' };
  });
  const sets: CharSet[] = [];
  for (let i = 0; i < items.length; i++) {
    const [{ code }, middle, last] = [items[i]!, items[i + 1], items[i + 2]];
    if (!middle?.dash || !last) sets.push(charSet([code, code]));
    else {
      if (last.code < code) throw grammarError(`the class at character ${at + 1} of the grammar has a range that runs backwards`);
      sets.push(charSet([code, last.code]));
      i += 2;
    }
  }
  const set = union(...sets, charsOf(''));
  const out = negated ? complement(set) : set;
  if (out.length === 0 || out.at(-1)![1] > 0x10ffff) throw grammarError(`the class at character ${at + 1} of the grammar has no character`);
  return out;
}
