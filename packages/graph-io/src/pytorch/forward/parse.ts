/** The grammar of forward expressions: statements of calls, arithmetic, tuples and subscripts, as Python writes them. */
import { type Token, tokenize, wrong } from './tokens.js';

export type Expression = { readonly at: number } & (
  | { readonly kind: 'number'; readonly value: number; readonly float: boolean }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'attribute'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'call'; readonly callee: Expression; readonly positional: readonly Expression[]; readonly keyword: readonly (readonly [string, Expression])[] }
  | { readonly kind: 'subscript'; readonly of: Expression; readonly items: readonly Subscript[] }
  | { readonly kind: 'negative'; readonly of: Expression }
  | { readonly kind: 'binary'; readonly sign: string; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'tuple'; readonly items: readonly Expression[] }
);

export type Subscript =
  | { readonly kind: 'index'; readonly value: Expression }
  | { readonly kind: 'slice'; readonly start: Expression | undefined; readonly end: Expression | undefined; readonly step: Expression | undefined }
  | { readonly kind: 'rest' };

export type Statement =
  /** `Block(x) = …`: how a module of the class Block, or a function of that name, computes. */
  | { readonly kind: 'definition'; readonly name: string; readonly parameters: readonly string[]; readonly body: Expression; readonly at: number }
  | { readonly kind: 'assignment'; readonly targets: readonly string[]; readonly value: Expression; readonly at: number };

export interface Program {
  readonly source: string;
  readonly statements: readonly Statement[];
  readonly result: Expression;
}

/** Brackets and operators inside each other; recursion of ours and of whoever evaluates. */
const MAX_DEPTH = 200;

/** Throws `E_FORWARD` showing the place that cannot be read. */
export function parseForward(source: string): Program {
  return new Parser(source).program();
}

class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
    this.#tokens = tokenize(source);
  }

  get #token(): Token {
    return this.#tokens[this.#at]!;
  }

  #is(text: string): boolean {
    return this.#token.kind === 'sign' && this.#token.text === text;
  }

  #ended(): boolean {
    return this.#token.kind === 'end';
  }

  #skip(text: string): boolean {
    if (!this.#is(text)) return false;
    this.#at++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#skip(text)) throw this.#wrong(`${JSON.stringify(text)} should stand here`);
  }

  #wrong(why: string, at = this.#token.at): Error {
    return wrong(this.#source, at, this.#token.kind === 'end' ? `${why}, but it ends` : why);
  }

  program(): Program {
    const statements: Statement[] = [];
    let result: Expression | undefined;
    for (;;) {
      while (this.#skip(';'));
      if (this.#ended()) break;
      if (result) throw this.#wrong('there is something behind the result', result.at);
      const found = this.#statement();
      if ('body' in found || 'targets' in found) statements.push(found);
      else result = found;
      if (!this.#ended()) this.#expect(';');
    }
    if (!result) throw this.#wrong('there is no result: the last statement must be an expression');
    return { source: this.#source, statements, result };
  }

  #statement(): Statement | Expression {
    // Lines of Python's own forward: `return x`, `x += y`.
    if (this.#token.kind === 'name' && this.#token.text === 'return') this.#at++;
    const { at, kind, text } = this.#token;
    const [sign, equals] = [this.#tokens[this.#at + 1], this.#tokens[this.#at + 2]];
    if (kind === 'name' && sign?.kind === 'sign' && ['+', '-', '*', '/', '@'].includes(sign.text) && equals?.kind === 'sign' && equals.text === '=' && equals.at === sign.at + 1) {
      this.#at += 3;
      return { kind: 'assignment', targets: [text], value: { kind: 'binary', sign: sign.text, left: { kind: 'name', name: text, at }, right: this.#list(), at: sign.at }, at };
    }
    const left = this.#list();
    if (!this.#skip('=')) return left;
    if (left.kind === 'call' && left.callee.kind === 'name') {
      const parameters = left.positional.map((parameter) => this.#nameOf(parameter));
      if (left.keyword.length > 0) throw this.#wrong('parameters have no defaults', at);
      return { kind: 'definition', name: left.callee.name, parameters, body: this.#list(), at };
    }
    const targets = left.kind === 'tuple' ? left.items.map((target) => this.#nameOf(target)) : [this.#nameOf(left)];
    return { kind: 'assignment', targets, value: this.#list(), at };
  }

  #nameOf(expression: Expression): string {
    if (expression.kind !== 'name') throw this.#wrong('a name should stand here', expression.at);
    return expression.name;
  }

  /** One expression, or a tuple of several. */
  #list(closing?: string): Expression {
    const { at } = this.#token;
    const items = [this.#expression()];
    let tuple = false;
    while (this.#skip(',')) {
      tuple = true;
      if ((closing !== undefined && this.#is(closing)) || this.#is('=') || this.#token.kind === 'end') break;
      items.push(this.#expression());
    }
    return tuple ? { kind: 'tuple', items, at } : items[0]!;
  }

  #expression(): Expression {
    if (++this.#depth > MAX_DEPTH) throw this.#wrong(`it is nested deeper than ${MAX_DEPTH}`);
    const found = this.#binary(['+', '-'], () => this.#binary(['*', '/', '//', '@'], () => this.#unary()));
    this.#depth--;
    return found;
  }

  #binary(signs: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    let length = 0;
    for (;;) {
      const { at, text, kind } = this.#token;
      if (kind !== 'sign' || !signs.includes(text)) return left;
      if (++length > MAX_DEPTH) throw this.#wrong(`more than ${MAX_DEPTH} operators stand in a row`);
      this.#at++;
      left = { kind: 'binary', sign: text, left, right: operand(), at };
    }
  }

  #unary(): Expression {
    const { at } = this.#token;
    if (!this.#skip('-')) return this.#power();
    if (++this.#depth > MAX_DEPTH) throw this.#wrong(`it is nested deeper than ${MAX_DEPTH}`);
    const of = this.#unary();
    this.#depth--;
    return { kind: 'negative', of, at };
  }

  #power(): Expression {
    const left = this.#postfix();
    const { at } = this.#token;
    return this.#skip('**') ? { kind: 'binary', sign: '**', left, right: this.#unary(), at } : left;
  }

  #postfix(): Expression {
    let found = this.#atom();
    for (let length = 0; ; length++) {
      if (length > MAX_DEPTH) throw this.#wrong(`more than ${MAX_DEPTH} names or calls stand in a row`);
      const { at } = this.#token;
      if (this.#skip('.')) {
        if (this.#token.kind !== 'name') throw this.#wrong('a name should stand behind the dot');
        found = { kind: 'attribute', of: found, name: this.#token.text, at };
        this.#at++;
      } else if (this.#skip('(')) found = this.#call(found, at);
      else if (this.#skip('[')) found = this.#subscript(found, at);
      else return found;
    }
  }

  #call(callee: Expression, at: number): Expression {
    const positional: Expression[] = [];
    const keyword: [string, Expression][] = [];
    while (!this.#skip(')')) {
      const next = this.#tokens[this.#at + 1];
      if (this.#token.kind === 'name' && next?.kind === 'sign' && next.text === '=') {
        const name = this.#token.text;
        this.#at += 2;
        keyword.push([name, this.#expression()]);
      } else if (keyword.length > 0) throw this.#wrong('an argument without a name stands behind one with a name');
      else positional.push(this.#expression());
      if (!this.#is(')')) this.#expect(',');
    }
    return { kind: 'call', callee, positional, keyword, at: callee.kind === 'name' ? callee.at : at };
  }

  #subscript(of: Expression, at: number): Expression {
    const items: Subscript[] = [];
    while (!this.#skip(']')) {
      if (this.#skip('...')) items.push({ kind: 'rest' });
      else items.push(this.#index());
      if (!this.#is(']')) this.#expect(',');
    }
    return { kind: 'subscript', of, items, at };
  }

  #index(): Subscript {
    const ends = (): boolean => this.#is(':') || this.#is(']') || this.#is(',');
    const start = ends() ? undefined : this.#expression();
    if (!this.#skip(':')) {
      if (!start) throw this.#wrong('an index should stand here');
      return { kind: 'index', value: start };
    }
    const end = ends() ? undefined : this.#expression();
    const step = this.#skip(':') && !ends() ? this.#expression() : undefined;
    return { kind: 'slice', start, end, step };
  }

  #atom(): Expression {
    const { kind, text, at } = this.#token;
    this.#at++;
    if (kind === 'name') return { kind: 'name', name: text, at };
    if (kind === 'number') return { kind: 'number', value: Number(text), float: /[.eE]/.test(text), at };
    if (kind === 'text') return { kind: 'text', value: text.slice(1, -1), at };
    if (kind === 'sign' && text === '(') return this.#bracket(')', at, false);
    if (kind === 'sign' && text === '[') return this.#bracket(']', at, true);
    this.#at--;
    throw this.#wrong('an expression should stand here');
  }

  #bracket(closing: string, at: number, list: boolean): Expression {
    if (this.#skip(closing)) return { kind: 'tuple', items: [], at };
    const inner = this.#list(closing);
    this.#expect(closing);
    return list && inner.kind !== 'tuple' ? { kind: 'tuple', items: [inner], at } : inner;
  }
}
