/** A model folder on this machine's disk. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { isPenjingError, PenjingError } from '@penjing/core';
import type { ModelFolder } from '../hf/folder.js';
import { fileSource } from './file-source.js';
import { ioError } from './io-error.js';

/**
 * Links are followed: the cache of Hugging Face is made of them, and the folder is the user's own choice. Names may
 * come from a file of the folder, so they must stay inside it.
 */
export function openFolder(path: string): ModelFolder {
  const root = resolve(path);
  const at = (name: string): string => {
    const parts = name.split('/');
    if (parts.some((part) => part === '' || part === '.' || part === '..' || /[\\\0:]/.test(part))) {
      throw new PenjingError('E_PATH', `${JSON.stringify(name)} is no file inside ${path}`);
    }
    return join(root, ...parts);
  };
  return {
    name: basename(root),
    async list(inside) {
      const folder = inside === undefined ? root : at(inside);
      const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
        const error = ioError(cause, inside === undefined ? path : folder);
        if (inside !== undefined && isPenjingError(error) && error.code === 'E_NOT_FOUND') return [];
        throw error;
      });
      const files = await Promise.all(
        entries.map(async (entry) => {
          if (entry.isFile()) return entry.name;
          const target = entry.isSymbolicLink() ? await stat(join(folder, entry.name)).catch(() => undefined) : undefined;
          return target?.isFile() ? entry.name : undefined;
        }),
      );
      return files.filter((name) => name !== undefined).sort();
    },
    open: async (name) => fileSource(at(name)),
  };
}
