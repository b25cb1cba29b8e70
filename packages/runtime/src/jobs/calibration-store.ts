/** Statistics of calibration in the work folder of a run, where it goes on after it was cut off, and in a file for later runs. */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DenseTensor, type DType, PenjingError, type Shape, type TensorReference } from '@penjing/core';
import type { CalibrationStore, StatisticRequest } from '@penjing/core/calibrate';
import { type CalibrationFile, openCalibrationFile } from './calibration-file.js';
import { folderShelf, shelfPath } from './folder-shelf.js';
import { collectedOf, entryOf, numbersOfJson, numbersToJson, type StatisticEntry } from './statistic-entry.js';

export interface CalibrationStoreOptions {
  /** Inside the work folder of the run. */
  readonly folder: string;
  /** What the run does, and the part of it that uses this store: large statistics that were let go of serve nobody else. */
  readonly run: string;
  readonly scope: string;
  /** Statistics of earlier runs, to be written by `save`. */
  readonly file?: string | undefined;
}

export interface OpenedCalibration extends CalibrationStore {
  /** Writes the file if anything is new, whole or not at all. Gives what happened, as a sentence; nothing without a file. */
  save(options?: { readonly signal?: AbortSignal }): Promise<string | undefined>;
}

/** What another run left in the folder is deleted. Throws `E_DATA` for a file that is something else, which is never replaced. */
export async function openCalibrationStore({ folder, run, scope, file: path }: CalibrationStoreOptions): Promise<OpenedCalibration> {
  const file = path === undefined ? undefined : await openCalibrationFile(path);
  await prepareFolder(folder, run);
  const shelf = join(folder, 'shelf');
  const entries = join(folder, 'entries');
  /** Gathered by this run, by key. */
  const added = new Map<string, StatisticEntry>();
  const found = new Set<string>();
  const released = new Set<string>();

  return {
    shelf: { ...folderShelf(shelf), kind: 'shelf', reference: shelf },
    async get(key, wanted) {
      const kept = released.has(key) ? undefined : await readEntry(join(entries, key), scope);
      if (kept) {
        added.set(key, kept);
        return collectedOf(kept, wanted, folder);
      }
      const entry = await file?.get(key);
      if (!entry) return undefined;
      found.add(key);
      return collectedOf(entry, wanted, path!);
    },
    async put(key, collected) {
      const entry = entryOf(collected);
      added.set(key, entry);
      released.delete(key);
      await writeEntry(join(entries, key), entry);
    },
    async release(keys) {
      // They are written to the file in the end.
      if (file) return;
      for (const key of keys) {
        const entry = added.get(key);
        if (!entry || entry.squares.size === 0) continue;
        released.add(key);
        await writeEntry(join(entries, key), entry, scope);
        await rm(shelfPath(shelf, key), { force: true });
      }
    },
    async save(options) {
      if (!file) return undefined;
      for (const key of found) added.delete(key);
      if (added.size > 0) await file.save(added, options);
      return describe(path!, file, found.size, added.size);
    },
  };
}

function describe(path: string, { existed }: CalibrationFile, found: number, added: number): string {
  if (added + found === 0) return `nothing that was gathered is kept in ${path}`;
  if (added === 0) return `all ${found} statistics came from ${path}`;
  if (!existed) return `${added} statistics were gathered and written to ${path}`;
  if (found === 0) return `${path} fits nothing of this model, these samples or this method: ${added} statistics were gathered and added`;
  return `${found} statistics came from ${path}, ${added} were gathered and added`;
}

async function prepareFolder(folder: string, run: string): Promise<void> {
  const marker = join(folder, 'run');
  if ((await readFile(marker, 'utf8').catch(() => undefined)) === run) return;
  await rm(folder, { recursive: true, force: true });
  for (const name of ['shelf', 'entries']) await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
  await writeFile(marker, run);
}

/** An entry as JSON. Infinities are texts, bytes are base64. */
interface StoredEntry extends StatisticRequest {
  readonly broken?: number | undefined;
  readonly numbers: Readonly<Record<string, number | string>>;
  readonly arrays: Readonly<Record<string, { readonly dtype: DType; readonly shape: Shape; readonly base64: string }>>;
  readonly squares: Readonly<Record<string, TensorReference>>;
  /** The part of the run that had used the large ones up before they were deleted. */
  readonly released?: string | undefined;
}

async function writeEntry(path: string, { value, statistic, broken, numbers, arrays, squares }: StatisticEntry, released?: string): Promise<void> {
  const stored: StoredEntry = {
    value, statistic, broken, released,
    numbers: numbersToJson(numbers),
    arrays: Object.fromEntries([...arrays].map(([field, { dtype, shape, bytes }]) => [field, { dtype, shape, base64: Buffer.from(bytes).toString('base64') }])),
    squares: Object.fromEntries(squares),
  };
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, JSON.stringify(stored));
  await rename(draft, path);
}

/** Undefined for one whose matrices are gone, unless the part of the run that asks has used them: its jobs are not run again. */
async function readEntry(path: string, scope: string): Promise<StatisticEntry | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const { value, statistic, broken, numbers, arrays, squares, released } = JSON.parse(text) as StoredEntry;
    if (released !== undefined && released !== scope) return undefined;
    return {
      value, statistic, broken,
      numbers: numbersOfJson(numbers),
      arrays: new Map(Object.entries(arrays).map(([field, { dtype, shape, base64 }]) => [field, new DenseTensor(dtype, shape, new Uint8Array(Buffer.from(base64, 'base64')))])),
      squares: new Map(Object.entries(squares)),
    };
  } catch (cause) {
    throw new PenjingError('E_DATA', `${path} is no statistic of calibration`, { cause, hint: 'Run again without --resume.' });
  }
}
