/** Classes by name: the numbers that a model has for the names of the data. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { modelFolder } from './layer-errors.js';

export interface NamedClasses {
  /** Number of the model by number of the data. */
  readonly indices: readonly number[];
  /** By number of the model. */
  readonly names: readonly string[];
}

/**
 * Data that names its classes counts them in order of the alphabet, over what it holds: part of the data counts otherwise. A model whose config.json names its
 * classes (`id2label`) is asked instead. Throws `E_DATA` for a name that it has not; names that are only numbers, as `LABEL_0`, say nothing.
 */
export async function classNamesOf(path: string, classes: readonly string[], data: string): Promise<NamedClasses> {
  const names = await namesOfModel(path);
  if (!names) return { indices: classes.map((_, i) => i), names: classes };
  const known = new Map(names.map((name, i) => [name, i]));
  const indices = classes.map((name) => {
    const index = known.get(name);
    if (index === undefined) throw new PenjingError('E_DATA', `${data} has the class ${name}, the model has ${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}`, { hint: 'Name classes as config.json of the model does, or number them.' });
    return index;
  });
  return { indices, names };
}

async function namesOfModel(path: string): Promise<string[] | undefined> {
  const info = await stat(path).catch(() => undefined);
  const folder = info?.isDirectory() ? path : modelFolder(path);
  const text = await readFile(join(folder, 'config.json'), 'utf8').catch(() => undefined);
  const table = text === undefined ? undefined : (safeParse(text) as { readonly id2label?: Readonly<Record<string, unknown>> } | undefined)?.id2label;
  if (typeof table !== 'object' || table === null) return undefined;
  const names = Array.from({ length: Object.keys(table).length }, (_, i) => table[String(i)]);
  return names.length > 0 && names.every((name) => typeof name === 'string' && !/^LABEL_\d+$/.test(name)) ? (names as string[]) : undefined;
}

function safeParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
