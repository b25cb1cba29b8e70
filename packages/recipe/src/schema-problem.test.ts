/** It accepts and refuses what a complete implementation of JSON schema does. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { recipeSchema } from './recipe-schema.js';
import { type Schema, schemaProblem } from './schema-problem.js';

const isRecipe = new Ajv2020().compile(recipeSchema);

/** Values near the limits of the schema, and of the wrong kind. */
const odd: fc.Arbitrary<unknown> = fc.constantFrom<unknown>(null, true, false, '', 'mse', 'x', 0, -1, 0.5, 1, 2, 3, 4, 8, 1e9, NaN, Infinity, [], [0], ['x'], ['x', ''], [[1]], {}, { match: ['x'] });

interface Node {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly items?: Node;
  readonly properties?: Readonly<Record<string, Node>>;
}

/** Mostly what the schema asks for. */
function near(schema: Node): fc.Arbitrary<unknown> {
  const { type, items, properties } = schema;
  const right: fc.Arbitrary<unknown> = schema.enum
    ? fc.constantFrom(...schema.enum)
    : type === 'object' ? fc.record(Object.fromEntries(Object.entries(properties ?? {}).map(([name, inner]) => [name, near(inner)])), { requiredKeys: [] })
    : type === 'array' ? fc.array(items ? near(items) : odd, { maxLength: 3 })
    : type === 'string' ? fc.string({ minLength: 1, maxLength: 3 })
    : type === 'boolean' ? fc.boolean()
    : type === 'integer' ? fc.integer({ min: 0, max: 40 })
    : fc.double({ min: 0, max: 1.2, noNaN: true });
  return fc.oneof({ weight: 40, arbitrary: right }, { weight: 1, arbitrary: odd });
}

const steps = recipeSchema as unknown as { readonly properties: { readonly steps: { readonly items: Node } } };
const step = fc.oneof(
  ...Object.entries(steps.properties.steps.items.properties!).map(([name, schema]) => near(schema).map((options) => ({ [name]: options }))),
  fc.constantFrom<object>({}, { nothing: {} }, { cast: { dtype: 'float16' }, prune: {} }),
);
const recipe = fc.record({ input: fc.constantFrom<unknown>('in', '', 3), steps: fc.array(step, { maxLength: 2 }) }, { requiredKeys: ['steps'] });
const anything = fc.oneof({ weight: 9, arbitrary: recipe }, { weight: 1, arbitrary: recipe.map((more) => ({ ...more, more })) }, { weight: 1, arbitrary: odd });

test('as Ajv, on recipes that are nearly right', () => {
  let [right, wrong] = [0, 0];
  fc.assert(fc.property(anything, (value) => {
    const accepted = isRecipe(value);
    if (accepted) right++;
    else wrong++;
    expect(schemaProblem(recipeSchema as Schema, value) === undefined, JSON.stringify(value)).toBe(accepted);
  }), { numRuns: 1500, seed: 7 });
  expect(right).toBeGreaterThan(100);
  expect(wrong).toBeGreaterThan(100);
});

test('a keyword that it does not know is no keyword that holds', () => {
  expect(() => schemaProblem({ type: 'string', pattern: '^a' }, 'a')).toThrow(/pattern/);
});
