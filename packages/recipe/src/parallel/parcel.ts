/** Inputs and outputs of jobs as files that all machines of a fleet see: plain data and typed arrays, paths inside of shared roots. */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { PenjingError, sha256 } from '@penjing/core';
import { ioError } from '@penjing/graph-io/node';
import type { SharedPath, SharedRoots } from './shared-roots.js';

/** A file and what is in it. */
export interface SharedFile extends SharedPath {
  readonly sha256: string;
}

export interface ParcelOptions {
  /** Where the file is written, inside of a root. */
  readonly folder: string;
  readonly roots: SharedRoots;
  /** Lays large buffers down once, for every parcel that has them. */
  readonly buffers?: SharedBuffers;
}

/** What `JobHost` and its jobs call a path, wherever it stands in their references: anything else is data. */
const PATH_FIELDS: ReadonlySet<string> = new Set(['path', 'folder', 'reference']);
const MARK = 'penjing parcel';
/** Of a buffer that has a file of its own. */
const LARGE = 16 * 1024;

export async function writeParcel(value: unknown, { folder, roots, buffers }: ParcelOptions): Promise<SharedFile> {
  const places = new Map<unknown, Promise<Mark>>();
  const once = (key: unknown, make: () => Promise<Mark>): void => void (places.has(key) || places.set(key, make()));
  walk(value, {
    path: (path) => once(path, async () => ({ [MARK]: 'path', place: await roots.share(path) })),
    buffer(buffer) {
      if (buffers && buffer.byteLength >= LARGE) once(buffer, async () => ({ [MARK]: isShared(buffer) ? 'shared' : 'buffer', place: await buffers.file(buffer) }));
      else if (isShared(buffer)) once(buffer, async () => ({ [MARK]: 'shared', bytes: new Uint8Array(buffer).slice() }));
    },
  });
  const marks = await settled(places);
  return writeShared(serialize(walk(value, { path: (path) => marks.get(path), buffer: (buffer) => marks.get(buffer) })), { folder, roots });
}

/** Throws `E_CHECKSUM` for a file that is not what was written, `E_PATH` for one that names a path outside of the roots. */
export async function readParcel(file: SharedFile, roots: SharedRoots): Promise<unknown> {
  const value: unknown = deserialize(await readShared(file, roots));
  const places = new Map<unknown, Promise<unknown>>();
  walk(value, {
    path: (path) => {
      throw new PenjingError('E_PATH', `a job names the path ${JSON.stringify(path)}`, { hint: 'Jobs name paths below a root that is shared.' });
    },
    mark: (mark) => void places.set(mark, open(mark, roots)),
  });
  const found = await settled(places);
  return walk(value, { path: (path) => path, mark: (mark) => found.get(mark) });
}

/** Stands for a path, or for a buffer, in what is written. */
interface Mark {
  readonly [MARK]: 'path' | 'buffer' | 'shared';
  readonly place?: SharedPath | SharedFile;
  readonly bytes?: Uint8Array;
}

async function settled<T>(places: ReadonlyMap<unknown, Promise<T>>): Promise<Map<unknown, T>> {
  return new Map(await Promise.all([...places].map(async ([key, place]) => [key, await place] as const)));
}

async function open({ [MARK]: kind, place, bytes }: Mark, roots: SharedRoots): Promise<unknown> {
  if (kind === 'path') return roots.find(place as SharedPath);
  const content = bytes ?? (await readShared(place as SharedFile, roots));
  const buffer = kind === 'shared' ? new SharedArrayBuffer(content.byteLength) : new ArrayBuffer(content.byteLength);
  new Uint8Array(buffer).set(content);
  return buffer;
}

const isShared = (buffer: ArrayBufferLike): boolean => buffer instanceof SharedArrayBuffer;

interface Visitor {
  /** What stands for a path. */
  path(path: string): unknown;
  /** What stands for a buffer; undefined for itself. */
  buffer?(buffer: ArrayBufferLike): unknown;
  /** What a mark stands for. */
  mark?(mark: Mark): unknown;
}

/** A copy of plain data; what stands in it twice stands in the copy twice. */
function walk(value: unknown, visitor: Visitor, known = new Map<unknown, unknown>()): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (known.has(value)) return known.get(value);
  const copy = copyOf(value, visitor, known);
  known.set(value, copy);
  return copy;
}

function copyOf(value: object, visitor: Visitor, known: Map<unknown, unknown>): unknown {
  const inner = (item: unknown): unknown => walk(item, visitor, known);
  if (MARK in value) return visitor.mark?.(value as Mark);
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return visitor.buffer?.(value) ?? value;
  if (ArrayBuffer.isView(value)) return isShared(value.buffer) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice() : value;
  if (Array.isArray(value)) return value.map(inner);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, inner(item)]));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, PATH_FIELDS.has(name) && typeof item === 'string' && item !== '' ? visitor.path(item) : inner(item)]));
}

/** Buffers in files of their own, for as long as there is use for them. */
export interface SharedBuffers {
  file(buffer: ArrayBufferLike): Promise<SharedFile>;
  /** Deletes the file. */
  forget(buffer: ArrayBufferLike): Promise<void>;
}

export function sharedBuffers(options: Omit<ParcelOptions, 'buffers'>): SharedBuffers {
  const files = new Map<ArrayBufferLike, Promise<SharedFile>>();
  return {
    file(buffer) {
      const file = files.get(buffer) ?? writeShared(new Uint8Array(buffer), options);
      files.set(buffer, file);
      return file;
    },
    async forget(buffer) {
      const file = files.get(buffer);
      files.delete(buffer);
      if (file) await rm(await options.roots.find(await file), { force: true });
    },
  };
}

async function writeShared(bytes: Uint8Array, { folder, roots }: Pick<ParcelOptions, 'folder' | 'roots'>): Promise<SharedFile> {
  const path = join(folder, randomUUID());
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(`${path}.draft`, bytes);
    await rename(`${path}.draft`, path);
  } catch (cause) {
    await rm(`${path}.draft`, { force: true });
    throw ioError(cause, path);
  }
  // Shared memory is not hashed as it is.
  return { ...(await roots.share(path)), sha256: await sha256(isShared(bytes.buffer) ? bytes.slice() : bytes) };
}

async function readShared(file: SharedFile, roots: SharedRoots): Promise<Buffer> {
  const path = await roots.find(file);
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw ioError(cause, path);
  });
  if ((await sha256(bytes)) !== file.sha256) throw new PenjingError('E_CHECKSUM', `${path} is damaged`, { hint: 'Look at the disk and the network file system.' });
  return bytes;
}
