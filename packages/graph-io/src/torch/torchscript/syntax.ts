/** The code of a TorchScript archive: classes, functions, and statements inside each other, each with its line. */
import { PenjingError } from '@penjing/core';
import { scriptLimits } from '../../limits.js';
import { type Expression, ExpressionParser, type Line, linesOf, malformed } from './expressions.js';

export type Statement = { readonly line: number } & (
  /** `a, b, = …` takes a list apart. */
  | { readonly kind: 'assign'; readonly targets: readonly string[]; readonly apart: boolean; readonly value: Expression }
  | { readonly kind: 'set'; readonly of: Expression; readonly name: string; readonly value: Expression }
  | { readonly kind: 'return'; readonly value: Expression }
  | { readonly kind: 'if'; readonly test: Expression; readonly then: readonly Statement[]; readonly otherwise: readonly Statement[] }
  | { readonly kind: 'for'; readonly target: string; readonly over: Expression; readonly body: readonly Statement[] }
  | { readonly kind: 'while'; readonly test: Expression; readonly body: readonly Statement[] }
  /** Contexts say how gradients are kept, which inference does not. */
  | { readonly kind: 'with'; readonly body: readonly Statement[] }
);

export interface Parameter {
  readonly name: string;
  readonly type: string;
  readonly fallback: Expression | undefined;
}

export interface Callable {
  readonly file: string;
  /** `self` included. */
  readonly parameters: readonly Parameter[];
  readonly body: readonly Statement[];
}

export interface Attribute {
  /** `Optional[float]`. */
  readonly type: string;
  /** Of an attribute that is written into the class. */
  readonly value: Expression | undefined;
}

/** A file of code, its definitions read when they are asked for: what nobody calls may be beyond what is read. */
export class ScriptFile {
  readonly #file: string;
  readonly #lines: readonly Line[];
  /** The line of `class A` or `def f` by name. */
  readonly #top = new Map<string, number>();
  readonly #known = new Map<string, Callable | undefined>();
  readonly #attributes = new Map<string, ReadonlyMap<string, Attribute>>();

  constructor(file: string, text: string) {
    this.#file = file;
    this.#lines = linesOf(text);
    for (const [i, { indent, tokens }] of this.#lines.entries()) {
      if (indent === 0 && (tokens[0] === 'class' || tokens[0] === 'def') && tokens[1] !== undefined) this.#top.set(tokens[1], i);
    }
  }

  hasClass(name: string): boolean {
    const at = this.#top.get(name);
    return at !== undefined && this.#lines[at]!.tokens[0] === 'class';
  }

  /** A function, or a method of a class; undefined when there is none. */
  callable(name: string, method?: string): Callable | undefined {
    const key = method === undefined ? name : `${name}.${method}`;
    if (!this.#known.has(key)) this.#known.set(key, this.#find(name, method));
    return this.#known.get(key);
  }

  #find(name: string, method: string | undefined): Callable | undefined {
    const at = this.#top.get(name);
    if (at === undefined) return undefined;
    if (method === undefined) return this.#lines[at]!.tokens[0] === 'def' ? this.#callable(at) : undefined;
    const end = this.#end(at);
    for (let i = at + 1; i < end; i++) if (this.#lines[i]!.tokens[0] === 'def' && this.#lines[i]!.tokens[1] === method) return this.#callable(i);
    return undefined;
  }

  /** `name : Final[float] = 0.5`, `__annotations__["0"] = …`. */
  attributes(name: string): ReadonlyMap<string, Attribute> {
    const known = this.#attributes.get(name);
    if (known) return known;
    const found = new Map<string, Attribute>();
    const at = this.#top.get(name);
    if (at !== undefined) {
      for (let i = at + 1, end = this.#end(at); i < end && this.#lines[i]!.tokens[0] !== 'def'; i++) {
        const { tokens, number } = this.#lines[i]!;
        const equals = tokens.indexOf('=');
        if (tokens[1] !== ':') continue;
        const type = tokens.slice(2, equals < 0 ? undefined : equals).join('').replace(/^Final\[(.*)\]$/, '$1');
        found.set(tokens[0]!, { type, value: equals < 0 ? undefined : new ExpressionParser(tokens, this.#file, number).rest(equals + 1) });
      }
    }
    this.#attributes.set(name, found);
    return found;
  }

  /** The line behind what belongs to a line. */
  #end(at: number): number {
    const { indent } = this.#lines[at]!;
    let end = at + 1;
    while (end < this.#lines.length && this.#lines[end]!.indent > indent) end++;
    return end;
  }

  #callable(at: number): Callable {
    const { tokens, number } = this.#lines[at]!;
    return { file: this.#file, parameters: parametersOf(tokens, this.#file, number), body: this.#block(at, 0) };
  }

  /** The statements under a line. */
  #block(at: number, depth: number): Statement[] {
    if (depth > scriptLimits.blocks) throw new PenjingError('E_LIMIT', `${this.#file}:${this.#lines[at]!.number} nests statements deeper than ${scriptLimits.blocks}`);
    const statements: Statement[] = [];
    for (let i = at + 1, end = this.#end(at); i < end; i = this.#end(i)) {
      const { tokens, number } = this.#lines[i]!;
      const first = tokens[0];
      if (first === 'pass') continue;
      const parser = new ExpressionParser(tokens, this.#file, number);
      const headed = (from: number): Expression => {
        const { value, end: colon } = parser.one(from);
        if (tokens[colon] !== ':') throw malformed(this.#file, number, 'a colon is missing');
        return value;
      };
      const line = number;
      if (first === 'if') {
        const test = headed(1);
        const then = this.#block(i, depth + 1);
        const next = this.#end(i);
        const other = next < end && this.#lines[next]!.tokens[0] === 'else';
        statements.push({ kind: 'if', line, test, then, otherwise: other ? this.#block(next, depth + 1) : [] });
        if (other) i = next;
      } else if (first === 'for') {
        if (tokens[2] !== 'in') throw malformed(this.#file, number, 'it goes along nothing');
        statements.push({ kind: 'for', line, target: tokens[1]!, over: headed(3), body: this.#block(i, depth + 1) });
      } else if (first === 'while') statements.push({ kind: 'while', line, test: headed(1), body: this.#block(i, depth + 1) });
      else if (first === 'with') statements.push({ kind: 'with', line, body: this.#block(i, depth + 1) });
      else if (first === 'return') statements.push({ kind: 'return', line, value: parser.rest(1) });
      else statements.push(simple(this.#lines[i]!, parser, this.#file));
    }
    return statements;
  }
}

/** `def forward ( self : T , x : Tensor = CONSTANTS.c0 ) -> Tensor :` */
function parametersOf(tokens: readonly string[], file: string, line: number): Parameter[] {
  const parameters: Parameter[] = [];
  const parser = new ExpressionParser(tokens, file, line);
  let at = 3;
  while (at < tokens.length && tokens[at] !== ')') {
    const name = tokens[at]!;
    let depth = 0;
    let end = at + 1;
    for (; end < tokens.length; end++) {
      const token = tokens[end]!;
      if (depth === 0 && (token === ',' || token === ')' || token === '=')) break;
      if ('([{'.includes(token)) depth++;
      if (')]}'.includes(token)) depth--;
    }
    const type = tokens.slice(at + 2, end).join('');
    let fallback: Expression | undefined;
    if (tokens[end] === '=') ({ value: fallback, end } = parser.one(end + 1));
    parameters.push({ name, type, fallback });
    at = tokens[end] === ',' ? end + 1 : end;
    if (at === end && tokens[end] !== ')') throw malformed(file, line, 'its parameters cannot be read');
  }
  return parameters;
}

const UNKNOWN = new Set(['else', 'elif', 'raise', 'assert', 'break', 'continue', 'try', 'except', 'del', 'global', 'class', 'def', 'import', 'lambda']);
const NAME = /^[A-Za-z_]\w*$/;

/** `a = …`, `a, b, = …`, `a : T = …`, `self.a = …`, or an expression alone. */
function simple({ tokens, number: line }: Line, parser: ExpressionParser, file: string): Statement {
  if (UNKNOWN.has(tokens[0]!)) {
    throw new PenjingError('E_UNSUPPORTED', `${file}:${line}: ${tokens[0]!} is no statement that TorchScript writes`, { details: { file, line } });
  }
  let depth = 0;
  const equals = tokens.findIndex((token) => {
    if ('([{'.includes(token)) depth++;
    if (')]}'.includes(token)) depth--;
    return token === '=' && depth === 0;
  });
  if (equals < 0) return { kind: 'assign', line, targets: [], apart: false, value: parser.rest(0) };
  const left = tokens.slice(0, equals);
  const value = parser.rest(equals + 1);
  if (left[1] === '.') {
    const { value: of } = new ExpressionParser(left, file, line).one(0);
    if (of.kind === 'attribute') return { kind: 'set', line, of: of.of, name: of.name, value };
  }
  const colon = left.indexOf(':');
  const targets = (colon < 0 ? left : left.slice(0, colon)).filter((token) => token !== ',');
  if (!targets.every((name) => NAME.test(name))) throw malformed(file, line, 'it assigns to what is no name');
  return { kind: 'assign', line, targets, apart: left.includes(',') && colon < 0, value };
}

/** Whether a block does nothing but stop the program: what it guards never happens in a program that is used rightly. */
export function onlyRaises(block: readonly Statement[]): boolean {
  return block.some((statement) => statement.kind === 'assign' && statement.value.kind === 'call' && statement.value.callee.kind === 'attribute' && statement.value.callee.name === 'RaiseException');
}
