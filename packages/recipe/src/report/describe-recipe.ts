/** A recipe in a line, for the head of a page. */
import type { Recipe } from '../recipe-schema.js';

/** `models/sapling → out/half: shrink (structure: layers, keep: half), distill (…)`. */
export function describeRecipe({ input, output, steps }: Recipe): string {
  const described = steps.flatMap((step) => Object.entries(step).map(([name, options]) => {
    const fields = Object.entries(options as object).map(([field, value]) => `${field}: ${inWords(value)}`);
    return fields.length === 0 ? name : `${name} (${fields.join(', ')})`;
  }));
  return `${input} → ${output}: ${described.join('; ')}`;
}

function inWords(value: unknown): string {
  if (Array.isArray(value)) return value.map(inWords).join(' + ');
  return typeof value === 'string' ? value : JSON.stringify(value);
}
