/** A folder of model files, wherever it is, and the small files read from it whole. */
import { type ByteSource, PenjingError } from '@penjing/core';

/** Names are relative to the folder, with forward slashes. */
export interface ModelFolder {
  /** What to call the folder in messages. */
  readonly name: string;
  /** The files directly inside it, or inside the folder `inside` of it; none when there is no such folder. */
  list(inside?: string): Promise<readonly string[]>;
  /** Throws `E_NOT_FOUND` when there is no such file. */
  open(name: string): Promise<ByteSource>;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** A config is a few kilobytes; with the names of 21,000 classes it reaches 2 MB. */
const MAX_JSON_BYTES = 16 * 2 ** 20;

/** Real ones nest below 6; without a limit a few bytes per level would overflow the stack of whoever walks the object. */
const MAX_JSON_DEPTH = 64;

/** The folder `name` inside a folder. */
export function within(folder: ModelFolder, name: string): ModelFolder {
  const path = (file: string): string => `${name}/${file}`;
  return {
    name: `${folder.name}/${name}`,
    list: (inside) => folder.list(inside === undefined ? name : path(inside)),
    open: (file) => folder.open(path(file)),
  };
}

/** The object in a JSON file. Throws `E_CONFIG` naming the file when it holds anything else. */
export async function readJsonObject(folder: ModelFolder, name: string): Promise<JsonObject> {
  const value = await readJson(folder, name);
  if (!isObject(value)) throw new PenjingError('E_CONFIG', `${name} holds no JSON object`);
  return value;
}

/** The objects in a JSON file that holds a list of them. Throws as `readJsonObject` does. */
export async function readJsonObjects(folder: ModelFolder, name: string): Promise<readonly JsonObject[]> {
  const value = await readJson(folder, name);
  if (!Array.isArray(value) || !value.every(isObject)) throw new PenjingError('E_CONFIG', `${name} holds no list of JSON objects`);
  return value;
}

async function readJson(folder: ModelFolder, name: string): Promise<unknown> {
  const source = await folder.open(name);
  if (source.size > MAX_JSON_BYTES) {
    throw new PenjingError('E_LIMIT', `${name} takes ${source.size} bytes, more than a configuration can`);
  }
  const bytes = await source.read(0, source.size);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new PenjingError('E_CONFIG', `${name} is not JSON`, { cause, hint: `Download ${name} again.` });
  }
  if (typeof value === 'object' && value !== null && deeperThan(MAX_JSON_DEPTH, value)) throw new PenjingError('E_LIMIT', `${name} is nested deeper than ${MAX_JSON_DEPTH}`);
  return value;
}

function deeperThan(limit: number, value: object): boolean {
  let level: object[] = [value];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > limit) return true;
    level = level.flatMap((item) => Object.values(item) as unknown[]).filter((item) => typeof item === 'object' && item !== null);
  }
  return false;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
