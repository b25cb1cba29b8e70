/** Writes small text files of a verb into a folder, each whole or not at all. */
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PenjingError } from '@penjing/core';

export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** Throws `E_EXISTS` when something is there and `force` is not given: for verbs that work long before they write. */
export async function checkAbsent(path: string, force: boolean): Promise<void> {
  const there = !force && (await access(path).then(() => true, () => false));
  if (there) throw new PenjingError('E_EXISTS', `${path} exists`, { hint: 'Choose another place, or replace it: --force.' });
}

/** Throws `E_EXISTS` before anything is written when one is there and `force` is not given. */
export async function writeFiles(folder: string, files: readonly TextFile[], force: boolean): Promise<void> {
  for (const { path } of files) await checkAbsent(join(folder, path), force);
  for (const { path, text } of files) {
    const target = join(folder, path);
    const part = `${target}.${process.pid}.part`;
    await mkdir(dirname(target), { recursive: true });
    try {
      await writeFile(part, text);
      await rename(part, target);
    } finally {
      await rm(part, { force: true });
    }
  }
}
