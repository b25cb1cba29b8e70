/** Inputs and outputs of jobs as files that all machines of a fleet see: plain data and typed arrays, paths inside of shared roots. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open as openFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { PenjingError, sha256 } from '@penjing/core';
import { ioError } from '@penjing/graph-io/node';
import { checkPlain, isFields, type PlainLimits } from './plain-data.js';
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
  readonly buffers?: Pick<SharedBuffers, 'file'>;
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
    path: (path) => once(path, async () => ({ [MARK]: 'path', place: await roots.share(textOf(path)) })),
    buffer(buffer) {
      if (buffers && buffer.byteLength >= LARGE) once(buffer, async () => ({ [MARK]: isShared(buffer) ? 'shared' : 'buffer', place: await buffers.file(buffer) }));
      else if (isShared(buffer)) once(buffer, async () => ({ [MARK]: 'shared', bytes: new Uint8Array(buffer).slice() }));
    },
  });
  const marks = await settled(places);
  return writeShared(serialize(walk(value, { path: (path) => marks.get(path), buffer: (buffer) => marks.get(buffer) })), { folder, roots });
}

function textOf(path: unknown): string {
  if (typeof path === 'string' && path !== '') return path;
  throw new PenjingError('E_PATH', 'what is called a path is none');
}

/**
 * Throws `E_CHECKSUM` for a file that is not what was written, `E_PATH` for one that names a path outside of the roots, `E_DATA` for what no `writeParcel` writes, or what takes
 * more than the limits.
 */
export async function readParcel(file: SharedFile, roots: SharedRoots, limits: ParcelLimits = parcelLimits): Promise<unknown> {
  const value = deserialized(await readShared(file, roots, limits.dataBytes));
  checkPlain(value, limits);
  const marks = new Set<Mark>();
  const collect = (mark: Mark): void => void marks.add(mark);
  walk(value, { path: (item) => collect(pathMark(item)), mark: collect });
  if (marks.size > limits.places) throw malformed(`it names ${marks.size} places`);
  const room = { left: limits.bufferBytes };
  const found = await settled(new Map([...marks].map((mark) => [mark, open(mark, roots, room)])));
  return walk(value, { path: (item) => found.get(pathMark(item)), mark: (mark) => found.get(mark) });
}

export interface ParcelLimits extends PlainLimits {
  /** Bytes of the file that is deserialized, by the thread that schedules. What is larger is spilled, or has files of its own. */
  readonly dataBytes: number;
  /** Bytes of all buffers together: models of up to 64 MiB each, and tensors that are in memory. */
  readonly bufferBytes: number;
  /** Paths and buffers; a tensor in a checkpoint of many files names a few. */
  readonly places: number;
}

export const parcelLimits: ParcelLimits = { dataBytes: 2 ** 28, bufferBytes: 2 ** 32, places: 2 ** 16, values: 2 ** 24, depth: 512 };

/** Stands for a path, or for a buffer, in what is written. */
interface Mark {
  readonly [MARK]: 'path' | 'buffer' | 'shared';
  readonly place?: SharedPath | SharedFile;
  readonly bytes?: Uint8Array;
}

async function settled<T>(places: ReadonlyMap<unknown, Promise<T>>): Promise<Map<unknown, T>> {
  return new Map(await Promise.all([...places].map(async ([key, place]) => [key, await place] as const)));
}

function deserialized(bytes: Buffer): unknown {
  try {
    return deserialize(bytes);
  } catch (cause) {
    throw malformed('it cannot be deserialized', cause);
  }
}

function malformed(why: string, cause?: unknown): PenjingError {
  return new PenjingError('E_DATA', `the data of a job is not what Penjing writes: ${why}`, { hint: 'Run the same version of Penjing on all machines.', cause });
}

/** What stands where a path belongs must be one that was shared: a text, or bytes that the file system takes for a text, would bypass the roots. */
function pathMark(item: unknown): Mark {
  if (isMark(item) && item[MARK] === 'path') return item;
  throw new PenjingError('E_PATH', `a job names the path ${typeof item === 'string' ? JSON.stringify(item) : `of type ${Object.prototype.toString.call(item)}`}`, { hint: 'Jobs name paths below a root that is shared.' });
}

/** What comes from another machine may be anything. */
async function open(mark: Mark, roots: SharedRoots, room: { left: number }): Promise<unknown> {
  const { [MARK]: kind, place, bytes }: { readonly [MARK]: unknown; readonly place?: unknown; readonly bytes?: unknown } = mark;
  if (kind !== 'path' && kind !== 'buffer' && kind !== 'shared') throw malformed('a mark of another kind');
  if ((kind === 'path' || bytes === undefined) && !isFields(place)) throw malformed('a mark without a place');
  if (kind === 'path') return roots.find(place as SharedPath);
  if (bytes !== undefined && !(bytes instanceof Uint8Array)) throw malformed('a buffer that has no bytes');
  if (bytes) takeRoom(bytes.byteLength, room);
  const content = bytes ?? (await readShared(place as SharedFile, roots, room));
  const buffer = kind === 'shared' ? new SharedArrayBuffer(content.byteLength) : new ArrayBuffer(content.byteLength);
  new Uint8Array(buffer).set(content);
  return buffer;
}

const isShared = (buffer: ArrayBufferLike): boolean => buffer instanceof SharedArrayBuffer;
const isMark = (value: unknown): value is Mark => isFields(value) && MARK in value;

interface Visitor {
  /** What stands for what is called a path. */
  path(item: unknown): unknown;
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
  if (isMark(value)) return visitor.mark?.(value);
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return visitor.buffer?.(value) ?? value;
  if (ArrayBuffer.isView(value)) return isShared(value.buffer) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice() : value;
  if (Array.isArray(value)) return value.map(inner);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, inner(item)]));
  if (!isFields(value)) throw malformed(`a ${value.constructor.name}`);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, PATH_FIELDS.has(name) && !isNoPath(name, item, value) ? visitor.path(item) : inner(item)]));
}

/** References to models and tensors are objects with paths inside; an output of a group that nobody writes has none. */
function isNoPath(name: string, item: unknown, holder: Readonly<Record<string, unknown>>): boolean {
  if (item === undefined) return true;
  if (name === 'reference') return isFields(item) && !isMark(item);
  return name === 'path' && item === '' && Object.keys(holder).sort().join() === 'expr,offset,path';
}

/** Buffers in files of their own, for as long as there is use for them. */
export interface SharedBuffers {
  file(buffer: ArrayBufferLike): Promise<SharedFile>;
  /** Deletes the file. */
  forget(buffer: ArrayBufferLike): Promise<void>;
  /** For the parcel of one job. References to tensors in memory are made anew for each, so their files go with the last job that has them. */
  ofJob(): Pick<SharedBuffers, 'file'> & AsyncDisposable;
}

export function sharedBuffers(options: Omit<ParcelOptions, 'buffers'>): SharedBuffers {
  const files = new Map<ArrayBufferLike, Promise<SharedFile>>();
  const users = new Map<ArrayBufferLike, number>();

  function file(buffer: ArrayBufferLike): Promise<SharedFile> {
    const known = files.get(buffer);
    if (known) return known;
    const written = writeShared(new Uint8Array(buffer), options);
    files.set(buffer, written);
    // There may be room the next time.
    written.catch(() => files.get(buffer) === written && files.delete(buffer));
    return written;
  }

  async function forget(buffer: ArrayBufferLike): Promise<void> {
    const writing = files.get(buffer);
    files.delete(buffer);
    // What could not be written left nothing, and who asked for it knows.
    const written = await writing?.catch(() => undefined);
    if (written) await rm(await options.roots.find(written), { force: true });
  }

  return { file, forget, ofJob: () => buffersOfJob({ file, forget }, users) };
}

function buffersOfJob({ file, forget }: Pick<SharedBuffers, 'file' | 'forget'>, users: Map<ArrayBufferLike, number>): Pick<SharedBuffers, 'file'> & AsyncDisposable {
  const own = new Set<ArrayBufferLike>();
  return {
    file(buffer) {
      if (isShared(buffer) && !own.has(buffer)) {
        own.add(buffer);
        users.set(buffer, (users.get(buffer) ?? 0) + 1);
      }
      return file(buffer);
    },
    async [Symbol.asyncDispose]() {
      for (const buffer of own) {
        const left = users.get(buffer)! - 1;
        if (left > 0) users.set(buffer, left);
        else {
          users.delete(buffer);
          await forget(buffer);
        }
      }
    },
  };
}

async function writeShared(bytes: Uint8Array, { folder, roots }: Pick<ParcelOptions, 'folder' | 'roots'>): Promise<SharedFile> {
  const path = join(folder, randomUUID());
  try {
    // The folder is there: one that is gone belonged to a run that is over.
    await writeFile(`${path}.draft`, bytes);
    await rename(`${path}.draft`, path);
  } catch (cause) {
    await rm(`${path}.draft`, { force: true });
    throw ioError(cause, path);
  }
  // Shared memory is not hashed as it is.
  return { ...(await roots.share(path)), sha256: await sha256(isShared(bytes.buffer) ? bytes.slice() : bytes) };
}

/** `most`: bytes that it may have, or the room that it takes a part of. */
async function readShared(shared: SharedFile, roots: SharedRoots, most: number | { left: number }): Promise<Buffer> {
  const path = await roots.find(shared);
  // A pipe would keep who opens it waiting.
  const file = await openFile(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)).catch((cause: unknown) => {
    throw ioError(cause, path);
  });
  try {
    const info = await file.stat();
    if (!info.isFile()) throw new PenjingError('E_FORMAT', `${path} is no regular file`);
    takeRoom(info.size, typeof most === 'number' ? { left: most } : most);
    const bytes = await readAll(file, info.size);
    if ((await sha256(bytes)) !== shared.sha256) throw new PenjingError('E_CHECKSUM', `${path} is damaged`, { hint: 'Look at the disk and the network file system.' });
    return bytes;
  } catch (cause) {
    throw ioError(cause, path);
  } finally {
    await file.close();
  }
}

function takeRoom(bytes: number, room: { left: number }): void {
  if (bytes > room.left) throw malformed(`${bytes} bytes, where ${room.left} are left`);
  room.left -= bytes;
}

/** Node reads at most 2 GiB at once. What was cut off meanwhile has another hash. */
async function readAll(file: FileHandle, size: number): Promise<Buffer> {
  const bytes = Buffer.alloc(size);
  for (let done = 0; done < size; ) {
    const { bytesRead } = await file.read(bytes, done, Math.min(size - done, 2 ** 30), done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes;
}
