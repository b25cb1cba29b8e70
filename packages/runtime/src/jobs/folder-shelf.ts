/** Tensors of jobs in a private folder: both sides read and write them by name. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DenseTensor, type DType, PenjingError, type Shape, type Shelf, type ShelfReference } from '@penjing/core';
import { ioError, placeFile } from '@penjing/graph-io/node';
import type { StoredTensor } from './stored-tensor.js';

/** A shelf in a new folder inside `parent`. */
export async function openFolderShelf(parent: string): Promise<Shelf & ShelfReference & AsyncDisposable> {
  const folder = await mkdtemp(join(parent, 'shelf-'));
  return {
    ...folderShelf(folder),
    kind: 'shelf',
    reference: folder,
    // A job that was told to end may still put one tensor down, and the folder then is not empty.
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }),
  };
}

/** What is on a shelf in this folder, made where there is none: it outlives the host. */
export async function openShelfAt(folder: string): Promise<Shelf & ShelfReference> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw ioError(cause, folder);
  });
  return { ...folderShelf(folder), kind: 'shelf', reference: folder };
}

/** Bytes of the length at the end. */
const LENGTH = 4;

/** A tensor is a file: its bytes, then its type and shape as JSON, then the length of that: the bytes can be read where they lie. */
export function folderShelf(folder: string): Shelf {
  const pathOf = (name: string): string => shelfPath(folder, name);

  async function find(name: string, wanted: boolean): Promise<{ dtype: DType; shape: Shape; bytes: Uint8Array }> {
    const file = await open(pathOf(name)).catch((cause: unknown) => {
      throw new PenjingError('E_NOT_FOUND', `${name} is not on the shelf`, { cause });
    });
    try {
      const { size } = await file.stat();
      const read = async (start: number, end: number): Promise<Buffer> => (await file.read(Buffer.allocUnsafeSlow(end - start), 0, end - start, start)).buffer;
      const length = (await read(size - LENGTH, size)).readUInt32LE();
      const end = size - LENGTH - length;
      const { dtype, shape } = JSON.parse((await read(end, size - LENGTH)).toString('utf8')) as { dtype: DType; shape: Shape };
      return { dtype, shape, bytes: wanted ? await readAll(file, end) : new Uint8Array(0) };
    } finally {
      await file.close();
    }
  }

  return {
    async put(name, { dtype, shape, bytes }) {
      const head = Buffer.from(JSON.stringify({ dtype, shape }));
      const length = Buffer.alloc(LENGTH);
      length.writeUInt32LE(head.length);
      // A job that is run twice on machines of a fleet may write what another one reads by then.
      await placeFile(pathOf(name), [bytes, head, length]);
    },
    async get(name) {
      const { dtype, shape, bytes } = await find(name, true);
      return new DenseTensor(dtype, shape, bytes);
    },
    delete: (name) => rm(pathOf(name), { force: true }),
    async refer(name) {
      const { dtype, shape } = await find(name, false);
      return { kind: 'tensor', dtype, shape, reference: { kind: 'shelved', path: pathOf(name), dtype, shape } satisfies StoredTensor };
    },
  };
}

/** Names of values may be long and hold anything. */
export function shelfPath(folder: string, name: string): string {
  return join(folder, createHash('sha256').update(name).digest('hex'));
}

/** In memory of its own: ONNX Runtime wants tensors aligned to their elements. One call of the system reads less than 2 GiB. */
async function readAll(file: Awaited<ReturnType<typeof open>>, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 2 ** 30), done);
    if (bytesRead === 0) throw new PenjingError('E_TRUNCATED', 'a tensor on the shelf is cut off');
    done += bytesRead;
  }
  return bytes;
}
