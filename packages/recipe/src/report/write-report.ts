/** Pages as files. */
import { constants } from 'node:fs';
import { access, mkdir, stat, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { PenjingError } from '@penjing/core';

/** Throws `E_OUTPUT` for a place where no page can be written, before hours of work. Folders that are missing will be made. */
export async function checkReport(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) throw new PenjingError('E_OUTPUT', `the report ${path} is a folder`, { hint: 'Give the name of a file, as page.html.' });
  let folder = found ? resolve(path) : dirname(resolve(path));
  while (!found && !(await stat(folder).catch(() => undefined)) && dirname(folder) !== folder) folder = dirname(folder);
  try {
    if (!found && !(await stat(folder)).isDirectory()) throw new Error(`${folder} is no folder`);
    await access(folder, constants.W_OK);
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

export async function writeReport(path: string, html: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, html);
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

function unwritable(path: string, cause: unknown): PenjingError {
  return new PenjingError('E_OUTPUT', `the report cannot be written to ${path}: ${(cause as Error).message}`, { cause });
}
