/** What lies at the place of an output already, and what of it may be touched. */
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import type { FileLayout } from '../layout.js';
import { type Manifest, MANIFEST_NAME, readManifest } from './manifest.js';

export interface FolderState {
  readonly exists: boolean;
  readonly manifest: Manifest | undefined;
  /** Everything inside, relative, with forward slashes. */
  readonly files: readonly string[];
  /** What no manifest lists. */
  readonly foreign: readonly string[];
}

/** A link to a folder stands for that folder: the link stays, and the work folder lies on the same disk. Links to files are replaced, what they link to may be shared. */
export async function followFolder(path: string): Promise<string> {
  const linked = await lstat(path).then((info) => info.isSymbolicLink(), () => false);
  return linked && (await stat(path).then((info) => info.isDirectory(), () => false)) ? realpath(path) : path;
}

export async function folderState(target: string): Promise<FolderState> {
  const info = await stat(target).catch(() => undefined);
  if (!info && (await lstat(target).catch(() => undefined))) {
    throw new PenjingError('E_EXISTS', `${target} is a link to what is not there`, { hint: 'Make the folder that it names, or remove it.' });
  }
  if (!info) return { exists: false, manifest: undefined, files: [], foreign: [] };
  if (!info.isDirectory()) throw new PenjingError('E_EXISTS', `${target} is a file`, { hint: 'Give the name of a folder.' });
  const manifest = await readManifest(target);
  const entries = await readdir(target, { withFileTypes: true, recursive: true });
  const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name).slice(target.length + 1).replaceAll('\\', '/'));
  const ours = new Set([MANIFEST_NAME, ...(manifest?.files.map(({ name }) => name) ?? [])]);
  return { exists: true, manifest, files, foreign: manifest ? files.filter((name) => !ours.has(name)) : files };
}

/** Throws `E_EXISTS` unless the files may be written into this folder. */
export function refuseExisting(
  folder: string, state: FolderState, files: readonly FileLayout[],
  options: { readonly force?: boolean; readonly add?: boolean; readonly manifest?: object | false; readonly replace?: readonly string[] },
): void {
  const { force, add, manifest, replace = [] } = options;
  if (force) return;
  if (state.manifest && !add) throw existing(folder);
  if (add && manifest === false && state.manifest) throw new PenjingError('E_OPTION', 'files added to a folder with a manifest must be listed in it');
  const clash = files.find(({ name }) => state.files.includes(name) && !replace.includes(name));
  if (clash) throw existing(join(folder, clash.name));
}

export function existing(path: string): PenjingError {
  return new PenjingError('E_EXISTS', `${path} exists already`, { hint: 'Choose another name, or replace it with --force.', details: { path } });
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}
