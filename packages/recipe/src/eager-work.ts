/** The work folder of a run whose steps compute before anything is saved: what they spill lies in it until the output is there. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { MANIFEST_NAME, openWorkFolder, type WorkFolder } from '@penjing/graph-io/node';
import type { Variant } from './model-layout.js';

export interface EagerWorkOptions {
  readonly force: boolean;
  readonly resume: boolean;
  readonly onNote: (text: string) => void;
}

/**
 * Refuses an output that exists before hours are spent on it, rather than when it is saved. Disposing gives up the lock and keeps
 * what a resumed run can use; `remove` it once the output is there. Throws `E_EXISTS`, `E_BUSY`.
 */
export async function openEagerWork(variant: Variant, { force, resume, onNote }: EagerWorkOptions): Promise<WorkFolder> {
  const { target } = variant;
  const taken = variant.kind === 'file' ? existsSync(target) : !variant.adds && existsSync(join(target, MANIFEST_NAME));
  if (taken && !force) throw new PenjingError('E_EXISTS', `${target} exists already`, { hint: 'Choose another name, or replace it with --force.', details: { path: target } });
  const work = await openWorkFolder(target);
  if (work.stale && !resume) {
    await work.clear();
    onNote(`${work.path}, left by a run that did not finish, was deleted`);
  }
  let removed = false;
  const remove = async (): Promise<void> => {
    removed = true;
    await work.remove();
  };
  return {
    ...work,
    remove,
    async [Symbol.asyncDispose]() {
      // The folder may be another run's by now.
      if (removed) return;
      const useful = await Promise.all(['spills', 'files', 'calibration/entries', 'training'].map((name) => holdsFiles(join(work.path, name))));
      if (useful.includes(true)) await work[Symbol.asyncDispose]();
      else await remove();
    },
  };
}

async function holdsFiles(folder: string): Promise<boolean> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.some((entry) => entry.isFile());
}
