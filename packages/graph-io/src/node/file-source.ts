/** A file as a byte source: opened on first read, closed when idle, refused once it is no longer the file it was. */
import { close, constants, fstat, open, read, type BigIntStats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { type ByteSource, checkRange, PenjingError } from '@penjing/core';
import { ioError } from './io-error.js';

export type FileSource = ByteSource & AsyncDisposable;

/** An unused descriptor is closed after this long, so that nobody has to dispose of the hundred shards of a model. */
const IDLE_MS = 2_000;

/**
 * Throws `E_NOT_FOUND` when there is no such file, `E_FORMAT` when it is no regular file. Links are resolved here, once.
 * Disposing closes at once; without it the descriptor is closed when it is idle.
 */
export async function fileSource(path: string): Promise<FileSource> {
  const uri = pathToFileURL(resolve(path)).href;
  try {
    const target = await realpath(path);
    const info = await stat(target, { bigint: true });
    if (!info.isFile()) throw new PenjingError('E_FORMAT', `${path} is no regular file`);
    return new OpenedFile(uri, target, info);
  } catch (cause) {
    throw ioError(cause, path);
  }
}

class OpenedFile implements ByteSource, AsyncDisposable {
  readonly size: number;
  readonly descriptor;
  #handle: Promise<number> | undefined;
  #readers = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(readonly uri: string, readonly path: string, info: BigIntStats) {
    this.size = Number(info.size);
    this.descriptor = { kind: 'file', path, size: this.size, mtimeMs: mtimeOf(info) } as const;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this.uri, this.size, offset, length);
    clearTimeout(this.#timer);
    this.#readers++;
    try {
      const handle = await (this.#handle ??= this.#open());
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        // Node refuses single reads of 2 GiB and more.
        const { bytesRead } = await readAsync(handle, bytes, done, Math.min(length - done, 2 ** 30), offset + done);
        if (bytesRead === 0) throw sourceChanged(this.path);
        done += bytesRead;
      }
      return bytes;
    } catch (cause) {
      throw ioError(cause, this.path);
    } finally {
      if (--this.#readers === 0) this.#timer = setTimeout(() => void this.#close(), IDLE_MS).unref();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    await this.#close();
  }

  async #open(): Promise<number> {
    try {
      const handle = await openAsync(this.path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
      const info = await fstatAsync(handle, { bigint: true });
      if (isUnchanged(info, this.descriptor)) return handle;
      await closeAsync(handle);
      throw sourceChanged(this.path);
    } catch (cause) {
      this.#handle = undefined;
      throw cause;
    }
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    if (handle) await handle.then(closeAsync, () => undefined);
  }
}

const openAsync = promisify(open);
const closeAsync = promisify(close);
const fstatAsync: (handle: number, options: { bigint: true }) => Promise<BigIntStats> = promisify(fstat);
const readAsync = promisify(read) as unknown as (
  handle: number, bytes: Uint8Array, at: number, length: number, position: number,
) => Promise<{ bytesRead: number }>;

function mtimeOf(info: BigIntStats): number {
  return Number(info.mtimeNs) / 1e6;
}

/** True when an opened file is still the one that a descriptor was made from. */
export function isUnchanged(info: BigIntStats, expected: { readonly size: number; readonly mtimeMs: number }): boolean {
  // Milliseconds in a double resolve some 0.2 microseconds today.
  return Number(info.size) === expected.size && Math.abs(mtimeOf(info) - expected.mtimeMs) < 1e-2;
}

export function sourceChanged(path: string): PenjingError {
  return new PenjingError('E_SOURCE_CHANGED', `${path} changed while it was in use`, {
    hint: 'Let nothing write to the input while it is read, then run again.',
    details: { path },
  });
}
