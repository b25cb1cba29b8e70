/** @penjing/recipe/pool: threads that start while the calling thread still loads the package, reads the input and plans: a fifth of a second that a conversion of a gigabyte feels. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createPool, type Pool } from '@penjing/graph-io/node';

/** What is smaller is written before threads have started, if it needs any. */
const LARGE_BYTES = 64 * 2 ** 20;

/** Undefined for an input that is small, or not there: whoever opens it says so. */
export async function startPool(input: string, threads: number | undefined): Promise<Pool | undefined> {
  if ((await bytesAt(input)) < LARGE_BYTES) return undefined;
  return createPool({ ...(threads !== undefined && { threads }) });
}

/** Of a file, or of the files right inside a folder. */
async function bytesAt(path: string): Promise<number> {
  const names = await readdir(path).catch(() => undefined);
  const paths = names?.map((name) => join(path, name)) ?? [path];
  const sizes = await Promise.all(paths.map((file) => stat(file).then((info) => (info.isFile() ? info.size : 0), () => 0)));
  return sizes.reduce((sum, size) => sum + size, 0);
}
