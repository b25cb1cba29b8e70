/** Values that a JSON schema allows, for property tests: as much of the language as the OpenAPI document uses. */
import fc from 'fast-check';

export interface JsonSchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly pattern?: string;
  readonly $ref?: string;
}

export function valuesOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches) return fc.oneof(...branches.map(valuesOf));
  if (schema.$ref !== undefined) return fc.jsonValue({ maxDepth: 2 });
  return (kinds[schema.type ?? ''] ?? (() => fc.jsonValue({ maxDepth: 2 })))(schema);
}

const kinds: Readonly<Record<string, (schema: JsonSchema) => fc.Arbitrary<unknown>>> = {
  null: () => fc.constant(null),
  boolean: () => fc.boolean(),
  integer: ({ minimum = -(2 ** 31), maximum = 2 ** 31 }) => fc.integer({ min: Math.max(minimum, -(2 ** 31)), max: Math.min(maximum, 2 ** 31) }),
  number: ({ minimum = -1e9, maximum = 1e9, exclusiveMinimum }) => fc.double({ min: exclusiveMinimum ?? minimum, max: maximum, noNaN: true, ...(exclusiveMinimum !== undefined && { minExcluded: true }) }),
  string: ({ pattern, minLength = 0, maxLength = 20 }) => (pattern === undefined ? fc.string({ minLength, maxLength: Math.max(minLength, Math.min(maxLength, 20)), unit: 'binary' }) : fc.stringMatching(new RegExp(pattern))),
  array: ({ items = {}, minItems = 0, maxItems = 3 }) => fc.array(valuesOf(items), { minLength: minItems, maxLength: Math.max(minItems, Math.min(maxItems, 3)) }),
  object: ({ properties = {}, required = [] }) => fc.record(Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, valuesOf(schema)])), { requiredKeys: [...required] }),
};
