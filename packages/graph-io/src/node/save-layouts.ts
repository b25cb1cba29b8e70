/** Saves planned files so that they appear whole or not at all, resumably: a folder, or a file with its companions. */
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { PenjingError, type QuantizeStats, type TaskOptions } from '@penjing/core';
import type { FileLayout } from '../layout.js';
import { onnxLimits } from '../limits.js';
import { checkExternalLocation } from '../onnx/external-location.js';
import { existing, exists, folderState, followFolder, refuseExisting } from './folder-state.js';
import { ioError } from './io-error.js';
import { type Manifest, MANIFEST_NAME, manifestLayout } from './manifest.js';
import { OutputFile, syncFolder } from './output-file.js';
import { createPool, type Pool } from './pool.js';
import { planSave } from './save-plan.js';
import { openWorkFolder, type WorkFolder } from './work-folder.js';
import { writeFiles } from './write-files.js';

export interface SaveOptions extends TaskOptions {
  /** Threads to use; without one, a pool of `threads` lives as long as the save. */
  readonly pool?: Pool;
  readonly threads?: number;
  /** Replace an existing output. */
  readonly force?: boolean;
  /** Go on from what an earlier run of the same plan left. */
  readonly resume?: boolean;
  /** Distinguishes runs that the plan does not: versions, options. */
  readonly planKey?: string;
  /** Looks at the finished files, still in the work folder, before they appear; what it throws ends the save without output. */
  readonly verify?: (folder: string) => Promise<void>;
  /** The work folder, when the run has opened it already; then its owner removes it. */
  readonly work?: WorkFolder;
}

export interface SaveFolderOptions extends SaveOptions {
  /** Add files to an existing folder; those in it stay. */
  readonly add?: boolean;
  /** Names of files that may be replaced without `force`, for example a configuration that lists what was added. */
  readonly replace?: readonly string[];
  /** Fields of `penjing.json` beside the list of files, or what gives them when all weights are written; false writes none. */
  readonly manifest?: Readonly<Record<string, unknown>> | ManifestFields | false;
}

/** `earlier` is the manifest of a folder that files are added to. */
export type ManifestFields = (measured: SaveResult['measured'], earlier: Manifest | undefined) => Readonly<Record<string, unknown>>;

export interface SaveResult {
  /** Paths of the written files. */
  readonly files: readonly string[];
  readonly bytes: number;
  readonly seconds: number;
  /** By tensor name: what quantizing or narrowing it lost. */
  readonly measured: ReadonlyMap<string, QuantizeStats>;
  /** Bytes that an earlier run had finished. */
  readonly resumedBytes: number;
  /** What the user should know, as sentences. */
  readonly notes: readonly string[];
}

/**
 * A folder with these files and its manifest. Throws `E_EXISTS` when the folder holds a finished output or one of the
 * files, unless `force` or `add` allow it; `E_BUSY`, `E_DISK_FULL`, `E_SOURCE_CHANGED`, `E_WORKER`. Whatever happens
 * the output is complete or as it was; what was finished stays in `FOLDER.penjing` for `resume`.
 */
export async function saveLayouts(folder: string, files: readonly FileLayout[], options: SaveFolderOptions = {}): Promise<SaveResult> {
  const target = await followFolder(resolve(folder));
  checkNames(files);
  return save(target, options, async (work) => {
    // A run that was killed between putting the old folder aside and placing the new one.
    const aside = join(work, 'replaced');
    if ((await exists(aside)) && !(await exists(target))) await rename(aside, target);
    const state = await folderState(target);
    refuseExisting(folder, state, files, options);
    // A folder of which every file is ours is replaced as a whole; otherwise file by file, leaving the others alone.
    const whole = !state.exists || state.files.length === 0 || (!options.add && state.foreign.length === 0);
    const earlier = options.add ? state.manifest : undefined;
    const { manifest = {} } = options;
    return {
      files,
      ...(manifest !== false && { last: (measured) => manifestLayout(files, typeof manifest === 'function' ? manifest(measured, earlier) : manifest, earlier) }),
      folder: target,
      async publish(made, all) {
        if (!whole) {
          if (!options.add) await rm(join(target, MANIFEST_NAME), { force: true });
          return moveFiles(made, target, all);
        }
        if (state.exists) {
          await rm(aside, { recursive: true, force: true });
          await rename(target, aside);
        }
        await rename(made, target);
      },
    };
  });
}

/** One file, or a main file with companions beside it; the main file comes first and appears last. */
export async function saveFile(path: string, layout: FileLayout | readonly FileLayout[], options: SaveOptions = {}): Promise<SaveResult> {
  const target = resolve(path);
  const given = Array.isArray(layout) ? (layout as readonly FileLayout[]) : [layout as FileLayout];
  const files = given.map((file, i) => (i === 0 ? { ...file, name: basename(target) } : file));
  checkNames(files);
  const folder = dirname(target);
  const paths = files.map(({ name }) => join(folder, name));
  return save(target, options, async () => {
    for (const one of paths) if (!options.force && (await exists(one))) throw existing(one);
    if ((await stat(target).catch(() => undefined))?.isDirectory()) throw new PenjingError('E_EXISTS', `${path} is a folder`, { hint: 'Give the name of a file.' });
    return { files, folder, publish: (made) => moveFiles(made, folder, [...files].reverse()) };
  });
}

interface Prepared {
  readonly files: readonly FileLayout[];
  /** One more, of bytes alone, when the others are written. */
  readonly last?: (measured: SaveResult['measured']) => FileLayout;
  /** Where they end up. */
  readonly folder: string;
  /** Moves all finished files from a folder of the work folder to their places. */
  readonly publish: (made: string, all: readonly FileLayout[]) => Promise<void>;
}

/** `prepare` looks at what is there, under the lock, and may refuse. */
async function save(target: string, options: SaveOptions, prepare: (work: string) => Promise<Prepared>): Promise<SaveResult> {
  const startTime = performance.now();
  const { resume = false, signal, onProgress, seed } = options;
  signal?.throwIfAborted();
  await mkdir(dirname(target), { recursive: true }).catch((cause: unknown) => {
    throw ioError(cause, dirname(target));
  });
  const work = options.work ?? (await openWorkFolder(target));
  let useless = !options.work && !work.stale;
  try {
    const { files, last, folder, publish } = await prepare(work.path);
    const plan = planSave(files);
    useless = false;
    const notes: string[] = [];
    if (work.stale && !resume && !options.work) {
      await work.clear();
      notes.push(`${work.path}, left by a run that did not finish, was deleted`);
    }
    const made = join(work.path, 'files');
    const { pool: given, threads } = options;
    await using started = given || plan.length === 0 ? undefined : createPool({ ...(threads !== undefined && { threads }) });
    const written = await writeFiles(work.path, made, files, plan, given ?? started ?? { threads: [] }, {
      resume, planKey: options.planKey ?? '', ...(signal && { signal }), ...(onProgress && { onProgress }), ...(seed !== undefined && { seed }),
    });
    // What was computed before, of which its owner speaks, may be all that there was.
    if (resume && work.stale && (written.foreignJournal || written.resumedBytes > 0 || !options.work)) {
      notes.push(
        written.foreignJournal
          ? `${work.path} belongs to another plan or input: everything was computed anew`
          : `${written.resumedBytes} bytes were finished by an earlier run`,
      );
    }
    signal?.throwIfAborted();
    const ending = last?.(written.measured);
    if (ending) await writeBytes(join(made, ending.name), ending);
    const all = ending ? [...files, ending] : files;
    await syncTree(made, all);
    await options.verify?.(made);
    await publish(made, all);
    await syncFolder(dirname(target));
    if (!options.work) await work.remove();
    return {
      files: all.map(({ name }) => join(folder, name)),
      bytes: all.reduce((sum, { size }) => sum + size, 0),
      seconds: (performance.now() - startTime) / 1000,
      measured: written.measured,
      resumedBytes: written.resumedBytes,
      notes,
    };
  } catch (cause) {
    throw ioError(cause, target);
  } finally {
    if (useless) await work.remove();
    else if (!options.work) await work[Symbol.asyncDispose]();
  }
}

/** A file that holds no tensors, synced. */
async function writeBytes(path: string, { size, pieces }: FileLayout): Promise<void> {
  await using file = await OutputFile.open(path, size, false);
  for (const piece of pieces) if (piece.kind === 'bytes') await file.write(piece.bytes, piece.offset);
  await file.sync();
}

/** In the given order: the last one makes the output complete. */
async function moveFiles(made: string, folder: string, files: readonly FileLayout[]): Promise<void> {
  for (const { name } of files) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await rename(join(made, name), path);
    await syncFolder(dirname(path));
  }
}

async function syncTree(made: string, files: readonly FileLayout[]): Promise<void> {
  const folders = new Set(files.map(({ name }) => dirname(join(made, name))));
  for (const folder of [...folders, made]) await syncFolder(folder);
}

/** Names come from models too: they stay inside the folder and do not collide. */
function checkNames(files: readonly FileLayout[]): void {
  const seen = new Set<string>();
  for (const { name } of files) {
    if (checkExternalLocation(name, onnxLimits) !== name) throw new PenjingError('E_OPTION', `${JSON.stringify(name)} is no plain file name`);
    if (seen.has(name) || name === MANIFEST_NAME) throw new PenjingError('E_OPTION', `${name} would be written twice`);
    seen.add(name);
  }
}

