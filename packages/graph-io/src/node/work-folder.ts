/** The sibling folder `OUT.penjing` in which a run keeps everything until it is finished, locked by its process. */
import { readFileSync } from 'node:fs';
import { link, mkdir, readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { PenjingError } from '@penjing/core';
import { followFolder } from './folder-state.js';
import { ioError } from './io-error.js';

export interface WorkFolder extends AsyncDisposable {
  readonly path: string;
  /** True when there was a folder of an earlier run. */
  readonly stale: boolean;
  /** Deletes everything inside, except the lock. */
  clear(): Promise<void>;
  /** Deletes the folder: the run is finished. */
  remove(): Promise<void>;
}

const LOCK = 'lock';

/** Throws `E_BUSY` while another run works on the same output. Disposing gives up the lock and keeps the rest. */
export async function openWorkFolder(output: string): Promise<WorkFolder> {
  const path = `${await followFolder(resolve(output))}.penjing`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const stale = await makeFolder(path).then((made) => !made && readdir(path).then((names) => names.length > 0));
    await lock(path, output);
    return {
      path,
      stale,
      clear: () => clear(path),
      async remove() {
        await clear(path);
        await rm(join(path, LOCK), { force: true });
        // Another run may have come in between; then the folder is that one's.
        await rmdir(path).catch(() => undefined);
      },
      [Symbol.asyncDispose]: async () => {
        await unlock(path);
      },
    };
  } catch (cause) {
    throw ioError(cause, path);
  }
}

/** False when it was there. Not `recursive`, which never returns for a folder of a system that makes none, such as /proc. */
async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST' || !(await stat(path)).isDirectory()) throw cause;
    return false;
  }
}

async function clear(path: string): Promise<void> {
  for (const name of await readdir(path).catch(() => [])) {
    if (!name.startsWith(LOCK)) await rm(join(path, name), { recursive: true, force: true });
  }
}

async function lock(path: string, output: string): Promise<void> {
  const file = join(path, LOCK);
  const mine = identityOf(process.pid);
  for (let attempt = 0; attempt < 3; attempt++) {
    if (await createWhole(file, mine)) return;
    const owner = await readFile(file, 'utf8').catch(() => '');
    if (isAlive(owner)) {
      throw new PenjingError('E_BUSY', `another run (process ${Number.parseInt(owner)}) is writing ${output}`, {
        hint: 'Wait until it is finished, or stop it.',
      });
    }
    // Only one of several can move it away; who moved a newer lock puts it back.
    const aside = `${file}.${process.pid}`;
    await rename(file, aside).catch(() => undefined);
    const moved = await readFile(aside, 'utf8').catch(() => owner);
    if (moved === owner) await rm(aside, { force: true });
    else await rename(aside, file).catch(() => undefined);
  }
  throw new PenjingError('E_BUSY', `another run is starting to write ${output}`, { hint: 'Try again in a moment.' });
}

/** Creates a file with its content in one step; false when there is one. */
async function createWhole(file: string, content: string): Promise<boolean> {
  const draft = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  await writeFile(draft, content);
  try {
    await link(draft, file);
    return true;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    // A file system without hard links: nearly as good.
    return await writeFile(file, content, { flag: 'wx' }).then(() => true, () => false);
  } finally {
    await rm(draft, { force: true });
  }
}

async function unlock(path: string): Promise<void> {
  const file = join(path, LOCK);
  const owner = await readFile(file, 'utf8').catch(() => undefined);
  if (owner === identityOf(process.pid)) await rm(file, { force: true });
}

/** Process number and, where the system tells, when it started: numbers are used again. */
function identityOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return String(pid);
  }
}

function isAlive(owner: string): boolean {
  const pid = Number.parseInt(owner);
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return identityOf(pid) === owner || !owner.includes(' ');
}
