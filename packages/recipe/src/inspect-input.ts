/** What is in a model file or folder, read without its weights. */
import type { Inspection, InspectOptions } from './inputs/describe.js';
import { openInput } from './inputs/open-input.js';

/** Opens a file or folder and describes it; throws what `openInput` and the readers throw. */
export async function inspectInput(path: string, options: InspectOptions = {}): Promise<Inspection> {
  return (await openInput(path)).inspect(options);
}
