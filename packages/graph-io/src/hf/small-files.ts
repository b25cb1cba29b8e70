/** Files of a few kilobytes in a folder that is written: copies, and JSON. */
import { lazy } from '@penjing/core';
import type { FileLayout } from '../layout.js';
import type { JsonObject, ModelFolder } from './folder.js';

export async function copiedFile({ folder }: { readonly folder: ModelFolder }, name: string): Promise<FileLayout> {
  const source = await folder.open(name);
  const tensor = lazy.source(source, 0, 'uint8', [source.size]);
  return { name, size: source.size, pieces: [{ kind: 'tensor', offset: 0, name, tensor }] };
}

export function jsonFile(name: string, value: JsonObject | readonly JsonObject[]): FileLayout {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
  return { name, size: bytes.byteLength, pieces: [{ kind: 'bytes', offset: 0, bytes }] };
}
