/** Opens an external data file of a model without leaving the model's folder: no links, and no file of another name. */
import type { BigIntStats } from 'node:fs';
import { lstat, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { onnxLimits } from '../limits.js';
import { checkExternalLocation } from '../onnx/external-location.js';
import { type FileSource, fileSource } from './file-source.js';

export type ExternalFileSource = FileSource;

/**
 * The file at `location` (as a model names it) under `folder`. Throws `E_EXTERNAL_DATA` when the location is unsafe,
 * when it or a folder on the way is a symbolic link, when the file has other hard links, or is no regular file.
 */
export async function openExternalFile(folder: string, location: string): Promise<ExternalFileSource> {
  const inside = checkExternalLocation(location, onnxLimits);
  const root = await realpath(folder).catch((cause: unknown) => {
    throw refuse(location, `${folder} is not there`, cause);
  });
  const path = join(root, ...inside.split('/'));
  for (let at = dirname(path); at.length > root.length; at = dirname(at)) {
    const stats = await statOf(at, location);
    if (!stats.isDirectory()) throw refuse(location, `${at} is a link or no folder`);
  }
  const stats = await statOf(path, location);
  if (!stats.isFile()) throw refuse(location, 'it is a link or no regular file');
  if (stats.nlink > 1n) throw refuse(location, 'it has other hard links, so it may belong elsewhere');

  // The source resolves links anew and, when it reads, opens only the file it saw: what it saw must be what was checked.
  const source = await fileSource(path);
  const { descriptor } = source;
  const same = descriptor.kind === 'file' && descriptor.path === path && BigInt(descriptor.size) === stats.size;
  if (!same || (await statOf(path, location)).ino !== stats.ino) throw refuse(location, 'it changed while it was opened');
  return source;
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
