/** A model folder on this machine's disk. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { PenjingError } from '@penjing/core';
import type { ModelFolder } from '../hf/folder.js';
import { fileSource } from './file-source.js';
import { ioError } from './io-error.js';

/**
 * Links are followed: the cache of Hugging Face is made of them, and the folder is the user's own choice. Names may
 * come from a file of the folder, so they must stay inside it.
 */
export function openFolder(path: string): ModelFolder {
  const root = resolve(path);
  return {
    name: basename(root),
    async list() {
      const entries = await readdir(root, { withFileTypes: true }).catch((cause: unknown) => {
        throw ioError(cause, path);
      });
      const files = await Promise.all(
        entries.map(async (entry) => {
          if (entry.isFile()) return entry.name;
          const target = entry.isSymbolicLink() ? await stat(join(root, entry.name)).catch(() => undefined) : undefined;
          return target?.isFile() ? entry.name : undefined;
        }),
      );
      return files.filter((name) => name !== undefined).sort();
    },
    async open(name) {
      const parts = name.split('/');
      if (parts.some((part) => part === '' || part === '.' || part === '..' || /[\\\0:]/.test(part))) {
        throw new PenjingError('E_PATH', `${JSON.stringify(name)} is no file inside ${path}`);
      }
      return fileSource(join(root, ...parts));
    },
  };
}
