/** How widely the matrices of a model are drawn that begins with random weights. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** As GPT-2, BERT and Llama have it. */
const USUAL = 0.02;

/** `initializer_range` of the configuration in the folder of the model, or 0.02. */
export async function scratchDeviation(input: string): Promise<number> {
  const folder = (await stat(input)).isDirectory() ? input : dirname(input);
  const text = await readFile(join(folder, 'config.json'), 'utf8').catch(() => '{}');
  let range: unknown;
  try {
    range = (JSON.parse(text) as { readonly initializer_range?: unknown } | null)?.initializer_range;
  } catch {
    // a configuration that is none says nothing
  }
  return typeof range === 'number' && range > 0 && range <= 1 ? range : USUAL;
}
