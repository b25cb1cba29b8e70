/** What an operator declares: its inputs, outputs, types and attributes at one version. */
import type { AttributeKind } from '../graph/attribute.js';

/**
 * Versions of operators by name, oldest first, one line each: the version in force at opset 13 and all later ones.
 * `since inputs -> outputs | types | attributes`, or `since deprecated`. A parameter is `name:T`, `name?:T` optional, `name+:T` one or
 * more, `name*:T` any number, `~` when these may differ in type; T is a type variable or a type. A type set is a list of types
 * and of `typeGroups`. An attribute is `name:kind`, `name:kind!` required, `name:kind=default`.
 */
export type OpRows = Readonly<Record<string, readonly string[]>>;

/** An input or an output. */
export interface OpParameter {
  readonly name: string;
  readonly option: 'single' | 'optional' | 'variadic';
  /** Fewest values of a variadic parameter. */
  readonly least: number;
  /** False for a variadic parameter whose values may differ in type. */
  readonly homogeneous: boolean;
  /** Name of the type variable: parameters that share it share their type. Absent when the type is fixed. */
  readonly typeVariable: string | undefined;
  /** Allowed types: a `DType`, or `seq(…)`, `opt(…)`, `map(…)` around one. */
  readonly types: readonly string[];
}

export interface OpAttribute {
  readonly name: string;
  readonly kind: AttributeKind;
  readonly required: boolean;
  readonly default: number | string | readonly number[] | readonly string[] | undefined;
}

export interface OpSchema {
  /** '' is ai.onnx. */
  readonly domain: string;
  readonly name: string;
  readonly sinceVersion: number;
  readonly deprecated: boolean;
  readonly inputs: readonly OpParameter[];
  readonly outputs: readonly OpParameter[];
  readonly attributes: ReadonlyMap<string, OpAttribute>;
}

export const typeGroups: Readonly<Record<string, string>> = {
  any: 'float int uint bool string complex',
  float: 'float16 float32 float64',
  int: 'int8 int16 int32 int64',
  uint: 'uint8 uint16 uint32 uint64',
  complex: 'complex64 complex128',
  float8: 'float8e4m3fn float8e4m3fnuz float8e5m2 float8e5m2fnuz',
};

/** Reads one row of `OpRows`. */
export function parseSchema(domain: string, name: string, row: string): OpSchema {
  const [signature = '', kinds = '', attributes = ''] = row.split(' | ');
  const [since = '', ...words] = signature.split(' ');
  const arrow = words.indexOf('->');
  const variables = new Map(
    kinds.split('; ').filter(Boolean).map((text) => {
      const at = text.indexOf('=');
      return [text.slice(0, at), expandTypes(text.slice(at + 1))] as const;
    }),
  );
  const parameter = (word: string): OpParameter => parseParameter(word, variables);
  return {
    domain,
    name,
    sinceVersion: Number(since),
    deprecated: words[0] === 'deprecated',
    inputs: words.slice(0, Math.max(arrow, 0)).map(parameter),
    outputs: arrow < 0 ? [] : words.slice(arrow + 1).map(parameter),
    attributes: new Map(attributes.split(' ').filter(Boolean).map(parseAttribute).map((attr) => [attr.name, attr])),
  };
}

function parseParameter(word: string, variables: ReadonlyMap<string, readonly string[]>): OpParameter {
  const [, name = '', mark = '', type = ''] = /^([^?+*~:]*)([?+*~]*):(.*)$/.exec(word) ?? [];
  const variable = variables.get(type);
  return {
    name,
    option: mark === '' ? 'single' : mark === '?' ? 'optional' : 'variadic',
    least: mark.startsWith('+') ? 1 : 0,
    homogeneous: !mark.endsWith('~'),
    typeVariable: variable && type,
    types: variable ?? expandTypes(type),
  };
}

/** `float seq(int64)` to `float16 float32 float64 seq(int64)`. */
function expandTypes(text: string): string[] {
  const words = text.match(/(?:[^\s(]+\((?:[^()]|\([^()]*\))*\))|[^\s()]+/g) ?? [];
  return words.flatMap((word) => {
    const [, wrapper, inner] = /^(seq|opt|sparse)\((.*)\)$/.exec(word) ?? [];
    if (wrapper !== undefined && inner !== undefined) return expandTypes(inner).map((type) => `${wrapper}(${type})`);
    const group = typeGroups[word];
    return group === undefined ? [word] : expandTypes(group);
  });
}

const defaults: Partial<Record<AttributeKind, (text: string) => OpAttribute['default']>> = {
  int: Number,
  float: Number,
  string: (text) => (text === "''" ? '' : text),
  ints: (text) => list(text).map(Number),
  floats: (text) => list(text).map(Number),
  strings: list,
};

function list(text: string): string[] {
  return text === '[]' ? [] : text.split(',');
}

function parseAttribute(word: string): OpAttribute {
  const [, name = '', kind = '', required = '', value] = /^([^:]+):(\w+)(!?)(?:=(.*))?$/.exec(word) ?? [];
  return {
    name,
    kind: kind as AttributeKind,
    required: required === '!',
    default: value === undefined ? undefined : defaults[kind as AttributeKind]?.(value),
  };
}
