/** The part of TorchScript that tracing writes: straight lines of assignments and calls. Anything else is named with its line. */
import { PenjingError } from '@penjing/core';
import { scriptLimits } from '../../limits.js';

export type Expression =
  | { readonly kind: 'literal'; readonly value: number | boolean | string | null; readonly float?: boolean }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'attribute'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'call'; readonly callee: Expression; readonly args: readonly Expression[]; readonly keyword: Readonly<Record<string, Expression>> }
  | { readonly kind: 'subscript'; readonly of: Expression; readonly index: Expression }
  | { readonly kind: 'list'; readonly items: readonly Expression[] };

export interface Statement {
  readonly line: number;
  /** Undefined for a return. */
  readonly targets: readonly string[] | undefined;
  /** `a, b, = …` takes a list apart. */
  readonly apart: boolean;
  readonly value: Expression;
}

export interface Method {
  /** Without self. */
  readonly parameters: readonly string[];
  readonly body: readonly Statement[];
}

interface Line {
  readonly indent: number;
  readonly number: number;
  readonly tokens: readonly string[];
}

const TOKEN = /\s*(?:(#[^\n]*)|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|((?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)|([A-Za-z_]\w*)|(->|[^\s\w]))/y;

/** Lines with brackets open go on. */
function linesOf(text: string): Line[] {
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
  return lines;
}

/** The methods of a class. `file` is for messages. Throws `E_UNSUPPORTED` for control flow, `E_TORCHSCRIPT` for what is no TorchScript. */
export function parseMethod(text: string, file: string, className: string, method: string): Method {
  const lines = linesOf(text);
  const start = lines.findIndex(({ tokens }) => tokens[0] === 'class' && tokens[1] === className);
  if (start < 0) throw malformed(file, 1, `there is no class ${className}`);
  const next = lines.findIndex(({ indent }, i) => i > start && indent <= lines[start]!.indent);
  const own = lines.slice(start + 1, next < 0 ? undefined : next);
  const at = own.findIndex(({ tokens }) => tokens[0] === 'def' && tokens[1] === method);
  if (at < 0) throw new PenjingError('E_UNSUPPORTED', `${className} in ${file} has no method ${method}`, { hint: 'Only traced modules convert.' });
  const header = own[at]!;
  const end = own.findIndex(({ indent }, i) => i > at && indent <= header.indent);
  const body = own.slice(at + 1, end < 0 ? undefined : end).map((line) => statement(line, file));
  return { parameters: parametersOf(header.tokens), body };
}

/** `def forward ( self : T , x : Tensor ) -> Tensor :` */
function parametersOf(tokens: readonly string[]): string[] {
  const names: string[] = [];
  let depth = 0;
  for (let i = 2; i < tokens.length; i++) {
    const token = tokens[i]!;
    if ('([{'.includes(token)) depth++;
    if (')]}'.includes(token) && --depth === 0) break;
    if (depth === 1 && tokens[i + 1] === ':' && ['(', ','].includes(tokens[i - 1]!)) names.push(token);
  }
  return names.filter((name) => name !== 'self');
}

const CONTROL = new Set(['if', 'else', 'elif', 'for', 'while', 'with', 'raise', 'assert', 'break', 'continue', 'try', 'del', 'global']);

function statement(line: Line, file: string): Statement {
  const { tokens, number } = line;
  const first = tokens[0]!;
  if (CONTROL.has(first)) {
    throw new PenjingError('E_UNSUPPORTED', `${file}:${number}: ${first} is control flow; only traced graphs without it convert`, {
      hint: 'Export the model with torch.export.save, or trace it with torch.jit.trace.', details: { file, line: number },
    });
  }
  const parser = new Parser(tokens, file, number);
  if (first === 'return') return { line: number, targets: undefined, apart: false, value: parser.rest(1) };
  let depth = 0;
  const equals = tokens.findIndex((token) => {
    if ('([{'.includes(token)) depth++;
    if (')]}'.includes(token)) depth--;
    return token === '=' && depth === 0;
  });
  if (equals < 0) return { line: number, targets: [], apart: false, value: parser.rest(0) };
  const left = tokens.slice(0, equals);
  const colon = left.indexOf(':');
  const names = (colon < 0 ? left : left.slice(0, colon)).filter((token) => token !== ',');
  if (!names.every((name) => /^[A-Za-z_]\w*$/.test(name))) throw malformed(file, number, 'it assigns to what is no name');
  return { line: number, targets: names, apart: left.includes(',') && colon < 0, value: parser.rest(equals + 1) };
}

function malformed(file: string, line: number, why: string): PenjingError {
  return new PenjingError('E_TORCHSCRIPT', `${file}:${line}: ${why}`, { hint: 'Save the module again with torch.jit.save.', details: { file, line } });
}

class Parser {
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
    const keyword: Record<string, Expression> = {};
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
    if (/^[A-Za-z_]\w*$/.test(token)) return { kind: 'name', name: token };
    throw malformed(this.#file, this.#line, `${JSON.stringify(token)} is not expected`);
  }
}
