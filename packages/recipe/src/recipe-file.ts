/** Reads a recipe from YAML (or JSON, which is YAML) and says exactly what is wrong with it. */
import { PenjingError } from '@penjing/core';
import { type Recipe, recipeSchema } from './recipe-schema.js';
import { schemaProblem } from './schema-problem.js';
import type { RecipeStep } from './steps/steps.js';

/** What stands in a file; paths that are missing must be given by the caller. */
export interface RecipeFile {
  readonly input?: string;
  readonly output?: string;
  readonly steps: readonly RecipeStep[];
}

// A recipe is written by hand; anything near this size is something else.
const MAX_BYTES = 1 << 20;

/** Throws `E_RECIPE` naming the line or the field that is wrong. `name` is used in messages. */
export async function parseRecipe(text: string, name = 'recipe'): Promise<RecipeFile> {
  if (text.length > MAX_BYTES) throw new PenjingError('E_RECIPE', `${name} is larger than ${MAX_BYTES} bytes`);
  const value = parseJson(text) ?? (await parseYaml(text, name));
  const problem = schemaProblem(recipeSchema, value);
  if (problem === undefined) return value as RecipeFile;
  throw new PenjingError('E_RECIPE', `${name}: ${problem}`, { hint: 'A recipe is a list `steps:` of `- convert: {}`, `- quantize: { bits: 4 }` …: docs/recipes.md has the fields of every step.' });
}

/** Undefined for what is not JSON: the command line speaks it, and loading a reader of YAML takes 50 ms. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function parseYaml(text: string, name: string): Promise<unknown> {
  const { LineCounter, parseDocument } = await import('yaml');
  const lineCounter = new LineCounter();
  // Aliases are limited so that a small file cannot unfold into a huge one.
  const document = parseDocument(text, { lineCounter, prettyErrors: true });
  const [syntax] = document.errors;
  if (syntax) throw new PenjingError('E_RECIPE', `${name} is not YAML: ${syntax.message}`, { cause: syntax });
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new PenjingError('E_RECIPE', `${name} cannot be read: ${String(cause)}`, { cause });
  }
}

/** Completes a recipe file with the paths of the command line. */
export function completeRecipe(file: RecipeFile, paths: { readonly input?: string; readonly output?: string }): Recipe {
  const input = paths.input ?? file.input;
  const output = paths.output ?? file.output;
  if (input === undefined || output === undefined) {
    throw new PenjingError('E_RECIPE', `the recipe names no ${input === undefined ? 'input' : 'output'}`, {
      hint: 'Write it into the recipe or give it on the command line.',
    });
  }
  return { input, output, steps: file.steps };
}
