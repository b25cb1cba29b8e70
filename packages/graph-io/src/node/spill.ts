/** Results of eager passes in the work folder of a run, each under the hash of its content. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError } from './io-error.js';

/**
 * Writes bytes to a file of `folder` named by their hash; gives its path. The same bytes are not written again, so that a file keeps
 * its time and a resumed run finds the sources that its journal knows. What a crash left half written is replaced.
 */
export async function writeSpill(folder: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, createHash('sha256').update(bytes).digest('hex'));
  // Another thread may be writing the same bytes.
  const draft = `${path}.${randomUUID()}`;
  try {
    const there = await readFile(path).catch(() => undefined);
    if (there && Buffer.compare(there, bytes) === 0) return path;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(draft, bytes);
    await rename(draft, path);
    return path;
  } catch (cause) {
    await rm(draft, { force: true });
    throw ioError(cause, path);
  }
}
