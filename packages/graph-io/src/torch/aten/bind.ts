/** Binds the arguments of a call to a signature, by position and by name, and checks what they are. */
import { dtypeNames } from '@penjing/core';
import type { Kind, Signature } from './signature.js';
import { dtypeOfC10, isFloatScalar, isSym, isValue } from './values.js';

export interface AtenCall {
  readonly positional: readonly unknown[];
  readonly keyword?: Readonly<Record<string, unknown>>;
}

export type Bound = { readonly arguments: Readonly<Record<string, unknown>> } | { readonly problem: string };

/** What an argument becomes; undefined when it is of another kind. */
type Reader = (value: unknown) => unknown;

const names: ReadonlySet<string> = new Set(dtypeNames);
const number: Reader = (value) => (typeof value === 'number' ? value : isFloatScalar(value) ? value.number : undefined);
const scalar: Reader = (value) =>
  (typeof value === 'number' || typeof value === 'boolean' || isSym(value) ? value
    : isFloatScalar(value) ? (Number.isInteger(value.number) ? value : value.number) : undefined);
const sym: Reader = (value) => (isSym(value) ? value : undefined);

const readers: Readonly<Record<Kind['base'], Reader>> = {
  Tensor: (value) => (isValue(value) ? value : undefined),
  Operand: (value) => (isValue(value) ? value : scalar(value)),
  int: (value) => (Number.isInteger(value) ? value : typeof value === 'boolean' ? Number(value) : undefined),
  SymInt: (value) => (Number.isInteger(value) ? value : sym(value)),
  float: number,
  bool: (value) => (typeof value === 'boolean' ? value : undefined),
  Scalar: scalar,
  // Programs that are read from TorchScript have numbers here.
  ScalarType: (value) => (typeof value === 'number' ? dtypeOfC10.get(value) : typeof value === 'string' && names.has(value) ? (value) : undefined),
  str: (value) => (typeof value === 'string' ? value : undefined),
  Ignored: (value) => value ?? null,
};

/** Arguments by name; what is wrong when they do not fit. */
export function bind(signature: Signature, { positional, keyword = {} }: AtenCall): Bound {
  const { parameters } = signature;
  if (positional.length > parameters.length) return { problem: `it takes ${parameters.length} arguments, not ${positional.length}` };
  const unknown = Object.keys(keyword).find((name) => !parameters.some((parameter) => parameter.name === name));
  if (unknown !== undefined) return { problem: `it has no argument ${unknown}` };
  const bound: Record<string, unknown> = {};
  for (const [i, { name, kind, fallback }] of parameters.entries()) {
    const named = Object.hasOwn(keyword, name);
    if (!named && i >= positional.length) {
      if (!fallback) return { problem: `the argument ${name} is missing` };
      bound[name] = fallback.value === null ? null : read(kind, fallback.value);
      continue;
    }
    const given = named ? keyword[name] : positional[i];
    const value = read(kind, given);
    if (value === undefined) return { problem: `the argument ${name} is ${describe(given)}, not ${kindName(kind)}` };
    bound[name] = value;
  }
  return { arguments: bound };
}

function read(kind: Kind, value: unknown): unknown {
  if (value === null || value === undefined) return kind.optional || kind.base === 'Ignored' ? null : undefined;
  const { list } = kind;
  if (!list) return readers[kind.base](value);
  if (Array.isArray(value)) {
    const items = value.map((item) => read(list.of, item));
    return items.includes(undefined) ? undefined : items;
  }
  if (list.length === undefined) return undefined;
  const one = read(list.of, value);
  return one === undefined ? undefined : new Array(list.length).fill(one);
}

function kindName(kind: Kind): string {
  const text = kind.list ? `${kindName(kind.list.of)}[]` : kind.base === 'Operand' ? 'Tensor or Scalar' : kind.base;
  return kind.optional ? `${text} or None` : text;
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (isValue(value)) return 'a tensor';
  if (isSym(value)) return 'computed in the graph';
  if (isFloatScalar(value)) return String(value.number);
  if (Array.isArray(value)) return `a list (${value.slice(0, 4).map(describe).join(', ')})`;
  return JSON.stringify(value);
}
