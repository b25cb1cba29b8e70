/** The published schema is the one that validates, and the recipes that we show are recipes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { parseRecipe } from './recipe-file.js';
import { recipeSchema } from './recipe-schema.js';
import { bindStep } from './steps/steps.js';

const root = join(import.meta.dirname, '..', '..', '..');

test('recipe.schema.json is the schema', async () => {
  await expect(`${JSON.stringify(recipeSchema, null, 2)}\n`).toMatchFileSnapshot('../recipe.schema.json');
});

test('it is a schema, which no run checks again', () => {
  expect(new Ajv2020().validateSchema(recipeSchema)).toBe(true);
});

const examples = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.yaml') && !name.includes('node_modules'));
const pages = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
const shown = [
  ...examples.map((name) => [`examples/${name}`, readFileSync(join(root, 'examples', name), 'utf8')] as const),
  ...pages.flatMap((name) => [...readFileSync(join(root, 'docs', name), 'utf8').matchAll(/```yaml\n(.*?)```/gs)].map(([, text], i) => [`docs/${name} ${i + 1}`, text!] as const)),
];

test('there are examples, and pages with some', () => {
  expect(examples.length).toBeGreaterThan(0);
  expect(shown.length).toBeGreaterThan(examples.length);
});

test.each(shown)('%s is a recipe whose steps go together', async (name, text) => {
  const { steps } = await parseRecipe(text, name);
  expect(steps.length).toBeGreaterThan(0);
  for (const step of steps) bindStep(step).pass?.({ format: 'onnx' });
});

test.each([
  ['steps: [{ quantize: {}, cast: { dtype: float16 } }]', /steps\.0 must NOT have more than 1/],
  ['steps: [{}]', /steps\.0 must NOT have fewer than 1/],
  ['steps: [{ cast: {} }]', /steps\.0\.cast lacks 'dtype'/],
  ['steps: [{ quantize: { samples: 0 } }]', /steps\.0\.quantize\.samples must be >= 1/],
  ['steps: [{ prune: 3 }, { nothing: {} }]', /steps\.0/],
])('%s is refused', async (text, message) => {
  await expect(parseRecipe(text)).rejects.toThrow(message);
});
