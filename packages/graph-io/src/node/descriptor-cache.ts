/** Open files of a pool thread, by path: the least recently used are closed, sources are checked when opened. */
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { isUnchanged, sourceChanged } from './file-source.js';
import { ioError } from './io-error.js';
import type { WorkerSource } from './pool-protocol.js';

/** Well below the usual limit of 1024 descriptors, with a few dozen threads. */
const MAX_OPEN = 24;
/** Node refuses single transfers of 2 GiB and more. */
const MAX_TRANSFER = 2 ** 30;

export class DescriptorCache {
  readonly #open = new Map<string, number>();

  /** Throws `E_SOURCE_CHANGED` unless the file is still the one that was planned with. */
  source({ path, size, mtimeMs }: Extract<WorkerSource, { kind: 'file' }>): number {
    return this.#get(`r ${path}`, () => {
      const handle = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
      if (isUnchanged(fstatSync(handle, { bigint: true }), { size, mtimeMs })) return handle;
      closeSync(handle);
      throw sourceChanged(path);
    }, path);
  }

  /** An existing file, to be written to. */
  output(path: string): number {
    return this.#get(`w ${path}`, () => openSync(path, 'r+'), path);
  }

  /** Closes output files. */
  forget(paths: readonly string[]): void {
    for (const path of paths) this.#close(`w ${path}`);
  }

  /** Closes the sources too: their files may change once nothing is planned with them. */
  clear(): void {
    for (const key of [...this.#open.keys()]) this.#close(key);
  }

  #get(key: string, open: () => number, path: string): number {
    let handle = this.#open.get(key);
    if (handle === undefined) {
      for (const oldest of this.#open.keys()) {
        if (this.#open.size < MAX_OPEN) break;
        this.#close(oldest);
      }
      try {
        handle = open();
      } catch (cause) {
        throw ioError(cause, path);
      }
    } else this.#open.delete(key);
    this.#open.set(key, handle);
    return handle;
  }

  #close(key: string): void {
    const handle = this.#open.get(key);
    if (handle !== undefined) closeSync(handle);
    this.#open.delete(key);
  }
}

/** Fills `into` from `offset` on. At the end of the file: false with `mayEnd`, otherwise `E_SOURCE_CHANGED`. */
export function readFully(handle: number, path: string, into: Uint8Array, offset: number, mayEnd = false): boolean {
  try {
    for (let done = 0; done < into.byteLength; ) {
      const count = readSync(handle, into, done, Math.min(into.byteLength - done, MAX_TRANSFER), offset + done);
      if (count === 0 && mayEnd) return false;
      if (count === 0) throw sourceChanged(path);
      done += count;
    }
    return true;
  } catch (cause) {
    throw ioError(cause, path);
  }
}

export function writeFully(handle: number, path: string, bytes: Uint8Array, offset: number): void {
  try {
    for (let done = 0; done < bytes.byteLength; ) {
      done += writeSync(handle, bytes, done, Math.min(bytes.byteLength - done, MAX_TRANSFER), offset + done);
    }
  } catch (cause) {
    throw ioError(cause, path);
  }
}
