/** Writes small text files of a verb into a folder. */
import { access, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PenjingError } from '@penjing/core';

export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** Throws `E_EXISTS` before anything is written when one is there and `force` is not given. */
export async function writeFiles(folder: string, files: readonly TextFile[], force: boolean): Promise<void> {
  for (const { path } of force ? [] : files) {
    const there = await access(join(folder, path)).then(() => true, () => false);
    if (there) throw new PenjingError('E_EXISTS', `${join(folder, path)} exists`, { hint: 'Choose another place, or replace it: --force.' });
  }
  for (const { path, text } of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
}
