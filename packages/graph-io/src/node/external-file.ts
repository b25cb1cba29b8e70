/** Opens an external data file of a model without leaving the model's folder: no links, and no file of another name. */
import { type BigIntStats, constants } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type ByteSource, checkRange, PenjingError } from '@penjing/core';
import { onnxLimits } from '../limits.js';
import { checkExternalLocation } from '../onnx/external-location.js';

export type ExternalFileSource = ByteSource & AsyncDisposable;

/**
 * The file at `location` (as a model names it) under `folder`. Throws `E_EXTERNAL_DATA` when the location is unsafe,
 * when it or a folder on the way is a symbolic link, when the file has other hard links, or is no regular file.
 */
export async function openExternalFile(folder: string, location: string): Promise<ExternalFileSource> {
  const inside = checkExternalLocation(location, onnxLimits);
  const root = resolve(folder);
  const path = join(root, ...inside.split('/'));
  for (let at = dirname(path); at.length > root.length; at = dirname(at)) {
    const stats = await statOf(at, location);
    if (!stats.isDirectory()) throw refuse(location, `${at} is a link or no folder`);
  }
  const seen = await statOf(path, location);
  if (!seen.isFile()) throw refuse(location, 'it is a link or no regular file');
  if (seen.nlink > 1n) throw refuse(location, 'it has other hard links, so it may belong elsewhere');
  // O_NOFOLLOW and the comparison close the gap between looking and opening.
  const handle = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0)).catch((cause: unknown) => {
    throw refuse(location, 'it cannot be opened', cause);
  });
  try {
    const stats = await handle.stat({ bigint: true });
    if (stats.ino !== seen.ino || stats.dev !== seen.dev || stats.nlink > 1n) throw refuse(location, 'it changed while it was opened');
    return fileRange(handle, path, stats);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function fileRange(handle: FileHandle, path: string, stats: BigIntStats): ExternalFileSource {
  const size = Number(stats.size);
  return {
    uri: path,
    size,
    descriptor: { kind: 'file', path, size, mtimeMs: Number(stats.mtimeNs) / 1e6 },
    async read(offset, length) {
      checkRange(path, size, offset, length);
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0) throw new PenjingError('E_TRUNCATED', `${path} became shorter while it was read`);
        done += bytesRead;
      }
      return bytes;
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function statOf(path: string, location: string): Promise<BigIntStats> {
  return lstat(path, { bigint: true }).catch((cause: unknown) => {
    throw refuse(location, `${path} is not there`, cause);
  });
}

function refuse(location: string, why: string, cause?: unknown): PenjingError {
  return new PenjingError('E_EXTERNAL_DATA', `external data ${JSON.stringify(location)} is not read: ${why}`, {
    hint: 'Put a plain copy of the file into the folder of the model, under the name that the model gives.',
    cause,
    details: { location },
  });
}
