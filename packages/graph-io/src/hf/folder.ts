/** A folder of model files, wherever it is, and the small files read from it whole. */
import { type ByteSource, PenjingError } from '@penjing/core';

/** Names are relative to the folder, with forward slashes. */
export interface ModelFolder {
  /** What to call the folder in messages. */
  readonly name: string;
  /** The files directly inside. */
  list(): Promise<readonly string[]>;
  /** Throws `E_NOT_FOUND` when there is no such file. */
  open(name: string): Promise<ByteSource>;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** A config is a few kilobytes; the largest real index of shards (600 B weights) is below 10 MB. */
const MAX_JSON_BYTES = 64 * 2 ** 20;

/** The object in a JSON file. Throws `E_CONFIG` naming the file when it holds anything else. */
export async function readJsonObject(folder: ModelFolder, name: string): Promise<JsonObject> {
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
  if (!isObject(value)) throw new PenjingError('E_CONFIG', `${name} holds no JSON object`);
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
