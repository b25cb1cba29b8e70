/** The built page, read whole into memory: what is not in this map cannot be asked for, so no path can lead out of it. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { PenjingError } from '@penjing/core';

export interface PageFile {
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same bytes packed, when that makes them smaller. */
  readonly packed: Uint8Array<ArrayBuffer> | undefined;
  /** Hash of the bytes, without quotes. */
  readonly tag: string;
  /** The name holds a hash of the contents, so the contents of the name never change. */
  readonly immutable: boolean;
}

/** By path from the root: `/index.html`, `/ui/index-3fa9c1d2.js`. */
export type PageFiles = ReadonlyMap<string, PageFile>;

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
  '.txt': 'text/plain; charset=utf-8',
};

/** Says how the page comes to be, when the server runs from its sources. */
export const BUILD = 'Build it: `npx turbo run build --filter=@penjing/server...`';

// The page has about ten files of some 200 KB; a folder beyond this is not the page.
const MAX_FILES = 64;
const MAX_BYTES = 8 * 2 ** 20;

/** `dist/web` of this package: beside the built code, or two folders up from the sources. */
export function pageFolder(): string | undefined {
  const places = ['./web', '../dist/web', '../../dist/web'].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  return places.find((path) => existsSync(join(path, 'index.html')));
}

/** Reads every file of known type. Throws `E_PAGE` when the folder has no index.html, or is no page at all. */
export async function readPageFiles(folder: string): Promise<PageFiles> {
  const names = (await readdir(folder, { recursive: true }).catch(() => [])).map((name) => name.replaceAll('\\', '/')).filter((name) => extname(name) in types);
  if (!names.includes('index.html')) throw new PenjingError('E_PAGE', `${folder} holds no built page`, { hint: `${BUILD}.` });
  if (names.length > MAX_FILES) throw new PenjingError('E_PAGE', `${folder} holds ${names.length} files, a page has at most ${MAX_FILES}`);
  const files = new Map<string, PageFile>();
  let total = 0;
  for (const name of names) {
    const bytes = new Uint8Array(await readFile(join(folder, name)));
    total += bytes.length;
    if (total > MAX_BYTES) throw new PenjingError('E_PAGE', `${folder} holds more than ${MAX_BYTES} bytes, which is no page`);
    const packed = new Uint8Array(await promisify(gzip)(bytes, { level: 9 }));
    files.set(`/${name}`, {
      type: types[extname(name)]!,
      bytes,
      packed: packed.length < bytes.length * 0.9 ? packed : undefined,
      tag: createHash('sha256').update(bytes).digest('base64url').slice(0, 22),
      immutable: /^ui\/.+-[\w-]{8}\.\w+$/.test(name),
    });
  }
  return files;
}
