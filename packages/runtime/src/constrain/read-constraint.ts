/** Constraints whose schema or grammar lies in a file. */
import { readFile } from 'node:fs/promises';
import { PenjingError } from '@penjing/core';
import type { Constraint } from './constraint.js';

export interface ConstraintFiles {
  /** A file with a JSON schema. */
  readonly schema?: string | undefined;
  /** A pattern, not a file. */
  readonly regex?: string | undefined;
  /** A file with a grammar. */
  readonly grammar?: string | undefined;
}

/** Undefined when nothing is given. Throws `E_OPTION` for more than one, `E_NOT_FOUND` for a file that is not there, `E_FORMAT` for a schema that is not JSON. */
export async function readConstraint({ schema, regex, grammar }: ConstraintFiles): Promise<Constraint | undefined> {
  if ([schema, regex, grammar].filter((given) => given !== undefined).length > 1) throw new PenjingError('E_OPTION', 'a text can be held to a schema, a regular expression or a grammar, to one of them');
  if (regex !== undefined) return { regex };
  if (grammar !== undefined) return { grammar: await textOf(grammar) };
  if (schema === undefined) return undefined;
  const text = await textOf(schema);
  try {
    return { schema: JSON.parse(text) as object };
  } catch (cause) {
    throw new PenjingError('E_FORMAT', `${schema} is not JSON: ${String(cause)}`, { cause });
  }
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new PenjingError('E_NOT_FOUND', `${path} cannot be read: ${String(cause)}`, { cause });
  }
}
