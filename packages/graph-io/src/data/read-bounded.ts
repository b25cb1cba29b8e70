/** Files of data, whole: bounded before they are read, unpacked when they are gzip. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { PenjingError } from '@penjing/core';
import { dataLimits } from '../limits.js';

const unpack = promisify(gunzip);

/** Throws `E_NOT_FOUND`, `E_DATA` for what is no file or no gzip, `E_LIMIT` above `limit` bytes, packed or not. */
export async function readBounded(path: string, limit: number = dataLimits.fileBytes): Promise<Uint8Array> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `the data ${path} is not there`, { cause });
  });
  if (!info.isFile()) throw new PenjingError('E_DATA', `the data ${path} is no file`);
  if (info.size > limit) throw new PenjingError('E_LIMIT', `${path} takes ${info.size} bytes`, { hint: `At most ${limit} are read; give a part of it.` });
  const bytes = plain(await readFile(path));
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return plain(await unpack(bytes, { maxOutputLength: limit }));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new PenjingError('E_LIMIT', `${path} unpacks to more than ${limit} bytes`, { cause, hint: 'Give a part of it.' });
    throw new PenjingError('E_DATA', `${path} is no sound gzip file`, { cause });
  }
}

/** Not a Buffer, whose `slice` shares memory. */
function plain({ buffer, byteOffset, byteLength }: Buffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

export function hashOf(...parts: readonly (Uint8Array | string)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${typeof part === 'string' ? part.length : part.byteLength}\0`).update(part);
  return hash.digest('hex');
}
