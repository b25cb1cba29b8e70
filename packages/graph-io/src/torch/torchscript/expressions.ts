/** Lines and expressions of TorchScript: names, attributes, calls, subscripts, lists, dictionaries, literals. */
import { PenjingError } from '@penjing/core';
import { scriptLimits } from '../../limits.js';

export type Expression =
  | { readonly kind: 'literal'; readonly value: number | boolean | string | null; readonly float?: boolean }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'attribute'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'call'; readonly callee: Expression; readonly args: readonly Expression[]; readonly keyword: Readonly<Record<string, Expression>> }
  | { readonly kind: 'subscript'; readonly of: Expression; readonly index: Expression }
  | { readonly kind: 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly entries: readonly (readonly [Expression, Expression])[] };

export interface Line {
  readonly indent: number;
  readonly number: number;
  readonly tokens: readonly string[];
}

const TOKEN = /\s*(?:(#[^\n]*)|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|((?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)|([A-Za-z_]\w*)|(->|[^\s\w]))/y;

/** Lines with brackets open go on. */
export function linesOf(text: string): Line[] {
  const lines: Line[] = [];
  let open: { indent: number; number: number; tokens: string[]; depth: number } | undefined;
  for (const [i, raw] of text.split('\n').entries()) {
    if (!open && raw.trim() === '') continue;
    open ??= { indent: raw.length - raw.trimStart().length, number: i + 1, tokens: [], depth: 0 };
    TOKEN.lastIndex = 0;
    const line = raw.trimEnd();
    while (TOKEN.lastIndex < line.length) {
      const match = TOKEN.exec(line);
      if (!match) break;
      if (match[1] !== undefined) continue;
      const token = match[2] ?? match[3] ?? match[4] ?? match[5]!;
      if ('([{'.includes(token)) open.depth++;
      if (')]}'.includes(token)) open.depth--;
      open.tokens.push(token);
    }
    if (open.depth > 0) continue;
    if (open.tokens.length > 0) lines.push(open);
    open = undefined;
  }
  // A bracket that never closes: the line ends in the middle, and whoever reads it says so.
  if (open && open.tokens.length > 0) lines.push(open);
  return lines;
}

export function malformed(file: string, line: number, why: string): PenjingError {
  return new PenjingError('E_TORCHSCRIPT', `${file}:${line}: ${why}`, { hint: 'Save the module again with torch.jit.save.', details: { file, line } });
}

export class ExpressionParser {
  #at = 0;
  #depth = 0;
  readonly #tokens: readonly string[];
  readonly #file: string;
  readonly #line: number;

  constructor(tokens: readonly string[], file: string, line: number) {
    this.#tokens = tokens;
    this.#file = file;
    this.#line = line;
  }

  /** One expression at token `at`, and where it ends. */
  one(at: number): { readonly value: Expression; readonly end: number } {
    this.#at = at;
    return { value: this.#expression(), end: this.#at };
  }

  /** The whole rest of the line from token `at`; `a, b` without brackets is a tuple. */
  rest(at: number): Expression {
    this.#at = at;
    const items = [this.#expression()];
    let tuple = false;
    while (this.#take(',')) {
      tuple = true;
      if (this.#at < this.#tokens.length) items.push(this.#expression());
    }
    if (this.#at < this.#tokens.length) throw malformed(this.#file, this.#line, `${JSON.stringify(this.#tokens[this.#at])} is not expected`);
    return tuple ? { kind: 'list', items } : items[0]!;
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at++;
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw malformed(this.#file, this.#line, `${token} is missing`);
  }

  #expression(): Expression {
    if (++this.#depth > scriptLimits.nesting) throw new PenjingError('E_LIMIT', `${this.#file}:${this.#line} nests deeper than ${scriptLimits.nesting}`);
    let expression = this.#atom();
    for (;;) {
      if (this.#take('.')) expression = { kind: 'attribute', of: expression, name: this.#tokens[this.#at++] ?? '' };
      else if (this.#take('(')) expression = this.#call(expression);
      else if (this.#take('[')) {
        const index = this.#items(']');
        expression = { kind: 'subscript', of: expression, index: index.length === 1 ? index[0]! : { kind: 'list', items: index } };
      } else break;
    }
    this.#depth--;
    return expression;
  }

  #call(callee: Expression): Expression {
    const args: Expression[] = [];
    const keyword = Object.create(null) as Record<string, Expression>;
    while (!this.#take(')')) {
      const name = this.#tokens[this.#at];
      if (name !== undefined && this.#tokens[this.#at + 1] === '=') {
        this.#at += 2;
        keyword[name] = this.#expression();
      } else args.push(this.#expression());
      if (!this.#take(',') && this.#tokens[this.#at] !== ')') this.#expect(')');
    }
    return { kind: 'call', callee, args, keyword };
  }

  #entries(): [Expression, Expression][] {
    const entries: [Expression, Expression][] = [];
    while (!this.#take('}')) {
      const key = this.#expression();
      this.#expect(':');
      entries.push([key, this.#expression()]);
      if (!this.#take(',') && this.#tokens[this.#at] !== '}') this.#expect('}');
    }
    return entries;
  }

  #items(end: string): Expression[] {
    const items: Expression[] = [];
    while (!this.#take(end)) {
      items.push(this.#expression());
      if (!this.#take(',') && this.#tokens[this.#at] !== end) this.#expect(end);
    }
    return items;
  }

  #atom(): Expression {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw malformed(this.#file, this.#line, 'it ends too early');
    if (token === '-') {
      const inner = this.#expression();
      if (inner.kind !== 'literal' || typeof inner.value !== 'number') throw malformed(this.#file, this.#line, 'a minus stands before what is no number');
      return { ...inner, value: -inner.value };
    }
    if (token === '{') return { kind: 'dict', entries: this.#entries() };
    if (token === '[') return { kind: 'list', items: this.#items(']') };
    if (token === '(') {
      const before = this.#at;
      const items = this.#items(')');
      const tuple = items.length !== 1 || this.#tokens.slice(before, this.#at).at(-2) === ',';
      return tuple ? { kind: 'list', items } : items[0]!;
    }
    if (/^["']/.test(token)) return { kind: 'literal', value: token.slice(1, -1).replace(/\\(.)/g, '$1') };
    if (/^[\d.]/.test(token)) {
      const number = Number(token);
      const float = /[.e]/.test(token);
      return { kind: 'literal', value: float ? number : Math.min(number, Number.MAX_SAFE_INTEGER), ...(float && { float }) };
    }
    if (token === 'True' || token === 'False') return { kind: 'literal', value: token === 'True' };
    if (token === 'None') return { kind: 'literal', value: null };
    if (token === 'inf' || token === 'nan') return { kind: 'literal', value: token === 'inf' ? Infinity : NaN, float: true };
    if (/^[A-Za-z_]\w*$/.test(token)) return { kind: 'name', name: token };
    throw malformed(this.#file, this.#line, `${JSON.stringify(token)} is not expected`);
  }
}
