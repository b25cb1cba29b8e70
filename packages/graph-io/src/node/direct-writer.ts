/** Writes large files past the page cache (O_DIRECT), while their thread computes on: on virtual machines fresh cache pages cost several times the disk. */
import { closeSync, constants, fstatSync, openSync, write } from 'node:fs';
import { writeFully } from './descriptor-cache.js';
import { ioError } from './io-error.js';

/** Offsets, lengths and addresses are multiples of this: the largest block size of disks, and a page. */
const BLOCK = 4096;
/** Below this a call costs more than a copy into the cache. */
const MIN_BYTES = 64 * 2 ** 10;
const BUFFER_BYTES = 2 * 2 ** 20;
/** One is filled while the others are on their way to the disk. */
const BUFFERS = 4;
/** Smaller files stay in the cache, where whoever reads them next finds them. */
const DIRECT_FILE_BYTES = 256 * 2 ** 20;

export interface Handed {
  /** Settles when the bytes are written. */
  readonly done: Promise<void>;
  /** Bytes that wait in the page cache. */
  readonly cached: number;
}

/** Of one file: past the cache, and through it. */
interface Handles {
  readonly direct: number;
  readonly cached: number;
}

/** Of one thread. Calls must not overlap: wait for a `write` before the next. */
export class DirectWriter {
  readonly #minFileBytes: number;
  /** By path; undefined where the file is small or its file system knows no direct writes. */
  readonly #handles = new Map<string, Handles | undefined>();
  #free: Uint8Array<ArrayBuffer>[] | undefined;
  #wake: (() => void) | undefined;

  constructor(minFileBytes = DIRECT_FILE_BYTES) {
    this.#minFileBytes = minFileBytes;
  }

  /**
   * Returns when `bytes` may be reused: they are copied and written in the background, what fills whole blocks of the file directly, the ends
   * through the cache. No other writer ever touches these blocks, so the two ways never meet in one. Ends wait in the system until the direct writes
   * before them have ended, which took a third of the time of a thread that waited too. Small files are written at once, to the handle that `cached` gives.
   */
  async write(cached: () => number, path: string, bytes: Uint8Array, offset: number): Promise<Handed> {
    const handles = this.#handle(path);
    const begin = roundUp(offset) - offset;
    const end = Math.floor((offset + bytes.byteLength) / BLOCK) * BLOCK - offset;
    if (!handles || end - begin < MIN_BYTES) {
      writeFully(cached(), path, bytes, offset);
      return { done: Promise.resolve(), cached: bytes.byteLength };
    }
    const writes: Promise<void>[] = [];
    const start = (written: Promise<void>): void => {
      written.catch(() => {}); // whoever waits for `done` sees it
      writes.push(written);
    };
    for (const [from, to] of [[0, begin], [end, bytes.byteLength]] as const) {
      if (to > from) start(this.#writeOut(handles.cached, handles, path, bytes.slice(from, to), offset + from));
    }
    for (let at = begin; at < end; at += BUFFER_BYTES) {
      const buffer = await this.#acquire();
      const part = buffer.subarray(0, Math.min(BUFFER_BYTES, end - at));
      part.set(bytes.subarray(at, at + part.byteLength));
      start(this.#writeOut(handles.direct, handles, path, part, offset + at).finally(() => this.#release(buffer)));
    }
    return { done: Promise.all(writes).then(() => {}), cached: bytes.byteLength - (end - begin) };
  }

  /** Closes files; nothing may be on its way to them. */
  forget(paths: readonly string[]): void {
    for (const path of paths) {
      const handles = this.#handles.get(path);
      if (handles) for (const handle of [handles.direct, handles.cached]) closeSync(handle);
      this.#handles.delete(path);
    }
  }

  #handle(path: string): Handles | undefined {
    if (this.#handles.has(path)) return this.#handles.get(path);
    const direct = openDirect(path, this.#minFileBytes);
    const handles = direct === undefined ? undefined : { direct, cached: openSync(path, constants.O_RDWR) };
    this.#handles.set(path, handles);
    return handles;
  }

  async #writeOut(handle: number, { cached }: Handles, path: string, bytes: Uint8Array, offset: number): Promise<void> {
    const { cause, count } = await new Promise<{ cause: NodeJS.ErrnoException | null; count: number }>((resolve) => {
      write(handle, bytes, 0, bytes.byteLength, offset, (cause, count) => resolve({ cause, count }));
    });
    // Some file systems open a file for direct writes and then refuse them, or stop in the middle.
    if (cause && cause.code !== 'EINVAL') throw ioError(cause, path);
    const done = cause ? 0 : count;
    if (done < bytes.byteLength) writeFully(cached, path, bytes.subarray(done), offset + done);
  }

  async #acquire(): Promise<Uint8Array<ArrayBuffer>> {
    this.#free ??= alignedBuffers();
    for (;;) {
      const buffer = this.#free.pop();
      if (buffer) return buffer;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #release(buffer: Uint8Array<ArrayBuffer>): void {
    this.#free!.push(buffer);
    this.#wake?.();
    this.#wake = undefined;
  }
}

function openDirect(path: string, minFileBytes: number): number | undefined {
  const flag: number | undefined = constants.O_DIRECT;
  if (!flag || typeof WebAssembly !== 'object') return undefined;
  let handle: number;
  try {
    handle = openSync(path, constants.O_RDWR | flag);
  } catch {
    return undefined; // EINVAL on file systems in memory; whatever else it is, the ordinary write will tell
  }
  if (fstatSync(handle).size >= minFileBytes) return handle;
  closeSync(handle);
  return undefined;
}

/** The memory of WebAssembly begins at a page; an ArrayBuffer begins anywhere. */
function alignedBuffers(): Uint8Array<ArrayBuffer>[] {
  const pages = (BUFFERS * BUFFER_BYTES) / 65_536;
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages });
  return Array.from({ length: BUFFERS }, (_, i) => new Uint8Array(buffer, i * BUFFER_BYTES, BUFFER_BYTES));
}

function roundUp(offset: number): number {
  return Math.ceil(offset / BLOCK) * BLOCK;
}
