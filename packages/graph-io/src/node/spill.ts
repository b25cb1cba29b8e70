/** Results of eager passes in the work folder of a run, each under the hash of its content. */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError } from './io-error.js';
import { holds, placeFile } from './place-file.js';

/**
 * Writes bytes to a file of `folder` named by their hash; gives its path. The same bytes are not written again, so that a file keeps
 * its time and a resumed run finds the sources that its journal knows. What a crash left half written is replaced. Throws `E_NOT_FOUND` where the folder of `folder` is gone: the run is
 * over, and another machine that is late must not bring it back.
 */
export async function writeSpill(folder: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, createHash('sha256').update(bytes).digest('hex'));
  if (await holds(path, [bytes])) return path;
  await makeInside(folder);
  await placeFile(path, [bytes]);
  return path;
}

/** Makes the folder in one that is there. Throws `E_NOT_FOUND` where that is not. */
export async function makeInside(folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw ioError(cause, folder);
  });
}
