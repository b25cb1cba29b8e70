/**
 * Operator signatures in PyTorch's own notation, read twice: by the compiler, which types the arguments of a row, and at
 * run time, where arguments are bound by position and name. `clamp.{default,Tensor}(Operand self, Operand? min=None)`.
 */
import type { DType, Value } from '@penjing/core';
import type { Operand, Scalar, SymInt } from './values.js';

/** Beside PyTorch's names: `Operand` (tensor or number) and `Ignored` (devices, layouts, hints). */
export interface KindTypes {
  Tensor: Value;
  Operand: Operand;
  int: number;
  SymInt: SymInt;
  float: number;
  bool: boolean;
  Scalar: Scalar;
  ScalarType: DType;
  str: string;
  Ignored: unknown;
}
export type KindName = keyof KindTypes;

type TypeOf<T extends string> = T extends `${infer Base}?` ? TypeOf<Base> | null
  : T extends `${infer Base}[${string}]` ? readonly TypeOf<Base>[]
    : T extends KindName ? KindTypes[T] : never;
type Parameter1<P extends string> = P extends `${infer Type} ${infer Name}=${string}` ? { readonly [K in Name]: TypeOf<Type> }
  : P extends `${infer Type} ${infer Name}` ? { readonly [K in Name]: TypeOf<Type> }
    : unknown;
type Parameters1<L extends string> = L extends `${infer First}, ${infer Rest}` ? Parameter1<First> & Parameters1<Rest> : Parameter1<L>;

/** The arguments that a signature declares, by name. */
export type ArgumentsOf<S extends string> = S extends `${string}(${infer List})` ? Parameters1<List> : never;

export interface Kind {
  readonly base: KindName;
  readonly optional: boolean;
  /** The element of a list; `length` of `int[2]`, which takes one number for all. */
  readonly list?: { readonly of: Kind; readonly length: number | undefined };
}

export interface Parameter {
  readonly name: string;
  readonly kind: Kind;
  /** Present when the argument may be left out. */
  readonly fallback?: { readonly value: unknown };
}

export interface Signature {
  /** `linear`. */
  readonly name: string;
  readonly overloads: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly text: string;
}

/** Signatures are ours, so a mistake in one is a plain error. */
export function parseSignature(text: string): Signature {
  const match = /^([a-zA-Z_]\w*)(?:\.(?:\{([^}]*)\}|(\w+)))?\((.*)\)$/.exec(text);
  if (!match) throw new Error(`${text} is no signature`);
  const [, name, several, one, list] = match;
  const overloads = several === undefined ? [one ?? 'default'] : several.split(',');
  const parameters = list === '' ? [] : list!.split(', ').filter((item) => item !== '*').map(parseParameter);
  return { name: name!, overloads, parameters, text };
}

function parseParameter(text: string): Parameter {
  const match = /^(\S+) (\w+)(?:=(.*))?$/.exec(text);
  if (!match) throw new Error(`${text} is no parameter`);
  const [, kind, name, fallback] = match;
  return { name: name!, kind: parseKind(kind!), ...(fallback === undefined ? {} : { fallback: { value: parseDefault(fallback) } }) };
}

const kinds: Readonly<Record<KindName, true>> = {
  Tensor: true, Operand: true, int: true, SymInt: true, float: true, bool: true, Scalar: true, ScalarType: true, str: true, Ignored: true,
};

function parseKind(text: string): Kind {
  if (text.endsWith('?')) return { ...parseKind(text.slice(0, -1)), optional: true };
  const list = /^(.*)\[(\d*)\]$/.exec(text);
  if (list) {
    const of = parseKind(list[1]!);
    return { base: of.base, optional: false, list: { of, length: list[2] === '' ? undefined : Number(list[2]) } };
  }
  if (!Object.hasOwn(kinds, text)) throw new Error(`${text} is no kind of argument`);
  return { base: text as KindName, optional: false };
}

function parseDefault(text: string): unknown {
  if (text === 'None') return null;
  if (text === 'True' || text === 'False') return text === 'True';
  if (/^[a-z_]\w*$/i.test(text)) return text;
  return JSON.parse(text);
}
