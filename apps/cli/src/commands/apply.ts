/** `penjing apply`: runs a recipe file. */
import { readFile } from 'node:fs/promises';
import type { Command } from '../command.js';
import { fleetOptions } from '../fleet-options.js';
import { common } from '../options.js';
import { runRecipeFile, saveOptions } from '../run-steps.js';

export const apply: Command = {
  name: 'apply',
  summary: 'run a recipe: a YAML list of steps',
  arguments: [
    { name: '<recipe>', help: 'a .yaml file with steps' },
    { name: '[input]', help: 'the model, when the recipe does not name one' },
  ],
  options: [{ ...common.output, required: false }, ...saveOptions, ...fleetOptions, common.threads],
  examples: ['penjing apply examples/int4.yaml', 'penjing apply examples/int4.yaml models/sapling -o out/sapling'],
  async run(context) {
    const [file = '', input] = context.arguments;
    return runRecipeFile(context, await readRecipe(file), file, { input });
  },
};

/** The system does not name a folder that is read as a file. */
async function readRecipe(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (!cause.path) cause.message = `${file}: ${cause.message}`;
    throw cause;
  });
}
