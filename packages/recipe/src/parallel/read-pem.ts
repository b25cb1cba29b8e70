/** Certificates and keys from files. */
import { readFile } from 'node:fs/promises';
import { PenjingError } from '@penjing/core';

/** Throws `E_OPTION`. */
export async function readPem(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new PenjingError('E_OPTION', `${path} cannot be read`, { cause });
  });
}
