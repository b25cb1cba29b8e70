/** Puts a file in its place whole or not at all, beside others that may be putting the same one there, or reading it. */
import { randomUUID } from 'node:crypto';
import { link, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ioError } from './io-error.js';

/** Compared at a time. */
const PIECE_BYTES = 2 ** 20;

/**
 * A file that holds these pieces already keeps its time, and so stays what its readers know: jobs may run twice, at the same time too. Any other is replaced. The folder is there already:
 * one that is gone is not made anew, since what it belonged to is over.
 */
export async function placeFile(path: string, pieces: readonly Uint8Array[]): Promise<void> {
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, pieces);
    if (await linked(draft, path)) return;
    if (await holds(path, pieces)) await forgetDrafts(path);
    else await rename(draft, path);
  } catch (cause) {
    throw ioError(cause, path);
  } finally {
    await rm(draft, { force: true });
  }
}

/** False where there is a file, or the file system knows no hard links. */
async function linked(draft: string, path: string): Promise<boolean> {
  return link(draft, path).then(() => true, () => false);
}

/** Who was killed between the link and the end of its draft leaves a file of two names, which readers of weights refuse. */
async function forgetDrafts(path: string): Promise<void> {
  const placed = await stat(path).catch(() => undefined);
  if (!placed || placed.nlink === 1) return;
  const folder = dirname(path);
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${basename(path)}.`)) continue;
    const other = join(folder, name);
    if ((await stat(other).catch(() => undefined))?.ino === placed.ino) await rm(other, { force: true });
  }
}

export async function holds(path: string, pieces: readonly Uint8Array[]): Promise<boolean> {
  const file = await open(path).catch(() => undefined);
  if (!file) return false;
  try {
    if ((await file.stat()).size !== pieces.reduce((sum, { byteLength }) => sum + byteLength, 0)) return false;
    const found = Buffer.allocUnsafe(PIECE_BYTES);
    let start = 0;
    for (const piece of pieces) {
      for (let at = 0; at < piece.byteLength; ) {
        const { bytesRead } = await file.read(found, 0, Math.min(PIECE_BYTES, piece.byteLength - at), start + at);
        if (bytesRead === 0 || found.compare(piece, at, at + bytesRead, 0, bytesRead) !== 0) return false;
        at += bytesRead;
      }
      start += piece.byteLength;
    }
    return true;
  } catch {
    return false;
  } finally {
    await file.close();
  }
}
