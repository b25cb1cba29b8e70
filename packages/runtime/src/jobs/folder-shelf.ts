/** Tensors of jobs in a private folder: both sides read and write them by name. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DenseTensor, type DType, PenjingError, type Shape, type Shelf, type ShelfReference } from '@penjing/core';

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

/** A tensor is a file: a line of JSON with its type and shape, then its bytes. */
export function folderShelf(folder: string): Shelf {
  // Names of values may be long and hold anything.
  const pathOf = (name: string): string => join(folder, createHash('sha256').update(name).digest('hex'));
  return {
    async put(name, { dtype, shape, bytes }) {
      const head = Buffer.from(`${JSON.stringify({ dtype, shape })}\n`);
      await writeFile(pathOf(name), [head, bytes]);
    },
    async get(name) {
      const file = await readFile(pathOf(name)).catch((cause: unknown) => {
        throw new PenjingError('E_NOT_FOUND', `${name} is not on the shelf`, { cause });
      });
      const end = file.indexOf('\n');
      const { dtype, shape } = JSON.parse(file.toString('utf8', 0, end)) as { dtype: DType; shape: Shape };
      // A copy: ONNX Runtime wants tensors aligned to their elements.
      return new DenseTensor(dtype, shape, new Uint8Array(file.subarray(end + 1)));
    },
    delete: (name) => rm(pathOf(name), { force: true }),
  };
}
