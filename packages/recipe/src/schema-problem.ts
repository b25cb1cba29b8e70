/** Checks values against the few keywords of JSON schema that the schema of recipes uses: a compiler of schemas took a quarter of a short run. */
import { nearestName } from './nearest-name.js';

export type Schema = Readonly<Record<string, unknown>>;

/** What is wrong with a value, and undefined when nothing is; kept apart from where it stands. */
type Check = (limit: never, value: never, schema: Schema) => string | undefined;

const types: Readonly<Record<string, (value: unknown) => boolean>> = {
  array: Array.isArray,
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  number: Number.isFinite,
  integer: Number.isInteger,
};

/** Of whole values, in the order in which they are asked; each is asked only when the type is right. */
const checks: Readonly<Record<string, Check>> = {
  enum: (allowed: readonly unknown[], value: unknown) => (allowed.includes(value) ? undefined : `must be one of ${allowed.join(', ')}, not ${JSON.stringify(value)}`),
  minLength: (limit: number, value: string) => (value.length >= limit ? undefined : `must NOT have fewer than ${limit} characters`),
  minimum: (limit: number, value: number) => (value >= limit ? undefined : `must be >= ${limit}`),
  maximum: (limit: number, value: number) => (value <= limit ? undefined : `must be <= ${limit}`),
  exclusiveMinimum: (limit: number, value: number) => (value > limit ? undefined : `must be > ${limit}`),
  exclusiveMaximum: (limit: number, value: number) => (value < limit ? undefined : `must be < ${limit}`),
  minItems: (limit: number, value: readonly unknown[]) => (value.length >= limit ? undefined : `must NOT have fewer than ${limit} items`),
  maxItems: (limit: number, value: readonly unknown[]) => (value.length <= limit ? undefined : `must NOT have more than ${limit} items`),
  minProperties: (limit: number, value: object) => (Object.keys(value).length >= limit ? undefined : `must NOT have fewer than ${limit} properties`),
  maxProperties: (limit: number, value: object) => (Object.keys(value).length <= limit ? undefined : `must NOT have more than ${limit} properties`),
  required: (names: readonly string[], value: object) => {
    const missing = names.find((name) => !Object.hasOwn(value, name));
    return missing === undefined ? undefined : `lacks '${missing}'`;
  },
  additionalProperties: (_: false, value: object, { properties }) => {
    const unknown = Object.keys(value).find((name) => !Object.hasOwn(properties as object, name));
    const near = unknown === undefined ? undefined : nearestName(unknown, Object.keys(properties as object));
    return unknown === undefined ? undefined : `has an unknown field '${unknown}'${near === undefined ? '' : ` (did you mean '${near}'?)`}`;
  },
};

/** Keywords that the walk itself reads, and those that say nothing. */
const OTHERS: ReadonlySet<string> = new Set(['type', 'properties', 'items', '$schema', 'title']);

/** The first thing that is wrong, with its place: `steps.0.quantize.samples must be >= 1`. Throws for a keyword that it does not know. */
export function schemaProblem(schema: Schema, value: unknown, at: readonly (string | number)[] = []): string | undefined {
  const unknown = Object.keys(schema).find((keyword) => !OTHERS.has(keyword) && !Object.hasOwn(checks, keyword));
  if (unknown !== undefined) throw new Error(`schemaProblem does not know the keyword ${unknown}`);
  const { type, properties = {}, items } = schema as { readonly type?: string; readonly properties?: Readonly<Record<string, Schema>>; readonly items?: Schema };
  const place = at.join('.') || 'the recipe';
  if (type !== undefined && !types[type]!(value)) return `${place} must be ${type}`;
  for (const [keyword, check] of Object.entries(checks)) {
    const problem = schema[keyword] === undefined ? undefined : check(schema[keyword] as never, value as never, schema);
    if (problem !== undefined) return `${place} ${problem}`;
  }
  const inside: readonly (readonly [string | number, Schema, unknown])[] =
    items !== undefined
      ? (value as readonly unknown[]).map((item, i) => [i, items, item] as const)
      : Object.entries(properties).filter(([name]) => Object.hasOwn(value as object, name)).map(([name, inner]) => [name, inner, (value as Readonly<Record<string, unknown>>)[name]] as const);
  for (const [name, inner, part] of inside) {
    const problem = schemaProblem(inner, part, [...at, name]);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
