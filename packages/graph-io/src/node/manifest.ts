/** `penjing.json`: the list of files that makes a folder a finished output. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileLayout } from '../layout.js';

export const MANIFEST_NAME = 'penjing.json';

export interface ManifestFile {
  /** Relative to the folder, with forward slashes. */
  readonly name: string;
  readonly bytes: number;
}

export interface Manifest {
  /** Version of this format. */
  readonly penjing: 1;
  readonly files: readonly ManifestFile[];
  /** What the writer wants to remember: recipe, source, versions. */
  readonly [field: string]: unknown;
}

/** The manifest of a folder; undefined when there is none or it does not match what lies there. */
export async function readManifest(folder: string): Promise<Manifest | undefined> {
  const text = await readFile(join(folder, MANIFEST_NAME), 'utf8').catch(() => undefined);
  const manifest = text === undefined ? undefined : parse(text);
  if (!manifest) return undefined;
  for (const { name, bytes } of manifest.files) {
    const info = await stat(join(folder, name)).catch(() => undefined);
    if (info?.size !== bytes) return undefined;
  }
  return manifest;
}

function parse(text: string): Manifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { penjing, files } = (value ?? {}) as Partial<Manifest>;
  const listed = Array.isArray(files) && files.every((file: Partial<ManifestFile> | null) => typeof file?.name === 'string' && typeof file.bytes === 'number');
  return penjing === 1 && listed ? (value as Manifest) : undefined;
}

/** The files of `earlier` stay listed, unless they are written anew. */
export function manifestLayout(files: readonly FileLayout[], fields: Readonly<Record<string, unknown>>, earlier?: Manifest): FileLayout {
  const written = new Map(files.map(({ name, size }) => [name, size]));
  const kept = earlier?.files.filter(({ name }) => !written.has(name)) ?? [];
  const listed = [...kept, ...[...written].map(([name, bytes]) => ({ name, bytes }))].sort((a, b) => (a.name < b.name ? -1 : 1));
  const manifest: Manifest = { ...earlier, ...fields, penjing: 1, files: listed };
  const bytes = new TextEncoder().encode(`${JSON.stringify(manifest, undefined, 2)}\n`);
  return { name: MANIFEST_NAME, size: bytes.byteLength, pieces: [{ kind: 'bytes', offset: 0, bytes }] };
}
