/** The shape of a recipe, as a TypeScript type and as the JSON schema that validates files: steps come from their table. */
import { objectSchema } from './steps/step.js';
import { type RecipeStep, stepKinds } from './steps/steps.js';

export interface Recipe {
  /** Model to start from: a folder or a file, recognised by its content. */
  readonly input: string;
  /** A folder for models that have a configuration, or a file; its extension says the format. */
  readonly output: string;
  readonly steps: readonly RecipeStep[];
}

/** JSON schema (draft 2020-12) of a recipe file; `recipe.schema.json` is the same as a file. `input` and `output` may come from the command line instead. */
export const recipeSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Penjing recipe',
  ...objectSchema(
    {
      input: { type: 'string', minLength: 1 },
      output: { type: 'string', minLength: 1 },
      steps: {
        type: 'array',
        items: {
          type: 'object',
          minProperties: 1,
          maxProperties: 1,
          additionalProperties: false,
          properties: Object.fromEntries(Object.entries(stepKinds).map(([name, { schema }]) => [name, schema])),
        },
      },
    },
    ['steps'],
  ),
};
