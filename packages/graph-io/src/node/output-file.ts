/** An output file while it is written: sized at once, flushed to the disk while the threads go on computing. */
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ioError } from './io-error.js';

/** Flushed in the background after this much: often enough that little is left to wait for in the end. */
const FLUSH_BYTES = 32 * 2 ** 20;
/** Bytes per write on the calling thread's behalf. */
const WRITE_BYTES = 4 * 2 ** 20;

export class OutputFile implements AsyncDisposable {
  readonly path: string;
  readonly #handle: FileHandle;
  #unflushed = 0;
  #flushing: Promise<void> | undefined;
  #failure: Error | undefined;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  /** A file of `size` bytes; what an earlier run wrote stays with `keep`. */
  static async open(path: string, size: number, keep: boolean): Promise<OutputFile> {
    try {
      await mkdir(dirname(path), { recursive: true });
      const handle = await open(path, keep ? 'a' : 'w').then(async (made) => {
        await made.close();
        return open(path, 'r+');
      });
      await handle.truncate(size);
      return new OutputFile(path, handle);
    } catch (cause) {
      throw ioError(cause, path);
    }
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    try {
      for (let done = 0; done < bytes.byteLength; ) {
        const length = Math.min(WRITE_BYTES, bytes.byteLength - done);
        done += (await this.#handle.write(bytes, done, length, offset + done)).bytesWritten;
      }
    } catch (cause) {
      throw ioError(cause, this.path);
    }
    this.written(bytes.byteLength);
  }

  /** Tells that somebody wrote `count` bytes. */
  written(count: number): void {
    this.#unflushed += count;
    if (this.#unflushed < FLUSH_BYTES || this.#flushing) return;
    this.#unflushed = 0;
    this.#flushing = this.#handle
      .datasync()
      .catch((cause: Error) => {
        this.#failure = cause;
      })
      .finally(() => {
        this.#flushing = undefined;
      });
  }

  /** Returns when everything is on the disk. */
  async sync(): Promise<void> {
    try {
      await this.#flushing;
      if (this.#failure) throw this.#failure;
      await this.#handle.sync();
    } catch (cause) {
      throw ioError(cause, this.path);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#flushing;
    await this.#handle.close();
  }
}

/** Makes the names in a folder durable; some systems cannot open folders. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}
