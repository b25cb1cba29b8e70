/** Words of JSON Schema (2020-12): which ones a grammar holds to, which ones are remarks, and how two schemas become one. */
import { grammarError } from './grammar-error.js';

export type SchemaObject = Readonly<Record<string, unknown>>;
/** A schema that is no boolean. */
export const isObject = (value: unknown): value is SchemaObject => typeof value === 'object' && value !== null && !Array.isArray(value);

export const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const;
export type TypeName = (typeof TYPES)[number];

/** By the type they say something about. */
const WORDS: Readonly<Record<'object' | 'array' | 'string' | 'number', readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties', 'minProperties', 'maxProperties'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
};
const GENERAL = ['type', 'enum', 'const', '$ref', 'anyOf', 'oneOf', 'allOf'];
/** Say nothing about what is valid. */
const REMARKS = new Set(['$schema', '$id', '$comment', '$defs', 'definitions', '$anchor', 'title', 'description', 'default', 'examples', 'example', 'deprecated', 'readOnly', 'writeOnly', 'contentMediaType', 'contentEncoding', 'contentSchema']);
const KNOWN = new Set([...GENERAL, ...Object.values(WORDS).flat()]);

/** What a schema says, without remarks. Throws `E_GRAMMAR` naming the word and its place for what a grammar cannot hold to. */
export function wordsOf(schema: SchemaObject, place: string): SchemaObject {
  const words = Object.entries(schema).filter(([word]) => !REMARKS.has(word));
  for (const [word] of words) {
    if (!KNOWN.has(word)) throw grammarError(`the schema, at ${place}, says ${word}, which generation cannot be held to`, 'Leave it out of the schema and check the text afterwards.');
  }
  return Object.fromEntries(words);
}

/** Types that a schema allows, by its own words alone. */
export function typesOf(schema: SchemaObject, place: string): readonly TypeName[] {
  const { type } = schema;
  if (type !== undefined) {
    const named = Array.isArray(type) ? (type as unknown[]) : [type];
    for (const name of named) if (!TYPES.includes(name as TypeName)) throw grammarError(`${place} has the type ${JSON.stringify(name)}; it must be one of ${TYPES.join(', ')}`);
    return named as TypeName[];
  }
  // A schema that speaks of one type alone means it, though the standard lets everything else pass.
  const meant = (Object.keys(WORDS) as (keyof typeof WORDS)[]).filter((name) => WORDS[name].some((word) => word in schema));
  return meant.length > 0 ? meant : TYPES.filter((name) => name !== 'integer');
}

export const allows = (types: readonly TypeName[], name: TypeName): boolean => types.includes(name) || (name === 'integer' && types.includes('number'));

/** A schema that says what both say. Throws `E_GRAMMAR` where that is no plain schema. */
export function merged(a: SchemaObject, b: SchemaObject, place: string): SchemaObject {
  const out: Record<string, unknown> = { ...a };
  const names = ({ properties }: SchemaObject): string[] => (isObject(properties) ? Object.keys(properties) : []);
  for (const [one, other] of [[a, b], [b, a]] as const) {
    const closed = one['additionalProperties'] !== undefined && one['additionalProperties'] !== true;
    if (closed && names(other).some((name) => !names(one).includes(name))) throw grammarError(`${place} joins properties with additionalProperties that speak of them`, 'Write the properties in one schema.');
  }
  for (const [word, value] of Object.entries(b)) {
    const before = out[word];
    if (before === undefined || JSON.stringify(before) === JSON.stringify(value)) out[word] = value;
    else if (word === 'required') out[word] = [...new Set([...(before as unknown[]), ...(value as unknown[])])];
    else if (word === 'properties' && isObject(before) && isObject(value)) out[word] = { ...before, ...mapped(value, (name, schema) => (Object.hasOwn(before, name) ? { allOf: [before[name], schema] } : schema)) };
    else if (word === 'type') out[word] = TYPES.filter((name) => [before, value].every((type) => allows(typesOf({ type }, place), name)));
    else if (word.startsWith('min') || word === 'exclusiveMinimum') out[word] = Math.max(Number(before), Number(value));
    else if (word.startsWith('max') || word === 'exclusiveMaximum') out[word] = Math.min(Number(before), Number(value));
    else throw grammarError(`${place} says two things with ${word} that one grammar cannot join`, 'Write them as one schema.');
  }
  return out;
}

function mapped(value: SchemaObject, to: (name: string, schema: unknown) => unknown): SchemaObject {
  return Object.fromEntries(Object.entries(value).map(([name, schema]) => [name, to(name, schema)]));
}
