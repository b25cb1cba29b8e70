/** Folders that all machines of a fleet see, wherever they are mounted: paths in jobs are relative to one of them and stay inside. */
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { PenjingError } from '@penjing/core';
import { ioError } from '@penjing/graph-io/node';

/** A path as a job has it, with forward slashes. */
export interface SharedPath {
  readonly root: string;
  readonly path: string;
}

export interface SharedRoots {
  /** What to call a path in a job. Throws `E_PATH` for one outside of all roots. */
  share(path: string): Promise<SharedPath>;
  /** Where a path of a job lies here. Throws `E_PATH` for one that would leave its root, also by a link; the last part need not exist. */
  find(shared: SharedPath): Promise<string>;
}

/** Where only one root is given nobody needs to name it. */
const ONLY = 'shared';

/** `DIR`, or several `NAME=DIR`: the names are the same on all machines. Throws `E_OPTION`, `E_NOT_FOUND`. */
export async function openRoots(texts: readonly string[]): Promise<SharedRoots> {
  const roots = new Map<string, string>();
  for (const text of texts) {
    const [, name = ONLY, folder = text] = /^([A-Za-z0-9_-]+)=(.+)$/.exec(text) ?? [];
    if (roots.has(name)) throw new PenjingError('E_OPTION', `two roots are called ${name}`, { hint: 'Write --root NAME=DIR.' });
    const real = await realpath(resolve(folder)).catch((cause: unknown) => {
      throw ioError(cause, folder);
    });
    if (!(await stat(real)).isDirectory()) throw new PenjingError('E_OPTION', `the root ${folder} is no folder`);
    roots.set(name, real);
  }
  return {
    async share(path) {
      const real = await realOf(resolve(path));
      for (const [root, folder] of roots) if (isInside(real, folder)) return { root, path: relative(folder, real).split(sep).join('/') };
      throw new PenjingError('E_PATH', `${path} is in none of the folders that workers share (${[...roots.values()].join(', ')})`, { hint: 'Give a folder above it with --root, the same one to every worker.' });
    },
    async find({ root, path }) {
      const folder = roots.get(root);
      if (folder === undefined) throw new PenjingError('E_PATH', `this worker has no root ${root}`, { hint: `Start it with --root ${root === ONLY ? '' : `${root}=`}DIR.` });
      if (typeof path !== 'string' || isAbsolute(path) || /[\\\0]/.test(path) || path.split('/').includes('..')) throw outside(path);
      const real = await realOf(join(folder, path));
      if (!isInside(real, folder)) throw outside(path);
      return real;
    },
  };
}

function outside(path: unknown): PenjingError {
  return new PenjingError('E_PATH', `${JSON.stringify(path)} leaves the root of the worker`, { hint: 'Jobs name paths below --root, and no links out of it.' });
}

function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

/** With all links followed; a file that is still to be made has the place of its folder. */
async function realOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw ioError(cause, path);
  }
  const folder = await realpath(dirname(path)).catch((cause: unknown) => {
    throw ioError(cause, path);
  });
  // A link to nowhere is not followed by realpath, but by who would write to it.
  return join(folder, basename(path));
}
