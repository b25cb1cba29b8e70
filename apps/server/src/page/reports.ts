/** Reports of comparisons, which `penjing compare --report MODEL/reports/q4.html` puts into a model's folder. */
import { constants } from 'node:fs';
import { lstat, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PenjingError } from '@penjing/core';

const VARIANT = /^[A-Za-z0-9_]{1,64}$/;

/** A report of a hundred layers has 200 KB. */
const MAX_BYTES = 8 * 2 ** 20;

/** The folder of a model that is given as such, or as one of its graphs. */
export async function reportFolder(model: string): Promise<string | undefined> {
  const isFolder = await stat(model).then((info) => info.isDirectory(), () => false);
  const beside = dirname(model);
  const folder = join(isFolder ? model : basename(beside) === 'onnx' ? dirname(beside) : beside, 'reports');
  // A link could lead anywhere.
  const info = await lstat(folder).catch(() => undefined);
  return info?.isDirectory() ? folder : undefined;
}

/** The variants that have a report. */
export async function reportNames(model: string): Promise<ReadonlySet<string>> {
  const folder = await reportFolder(model);
  const names = folder === undefined ? [] : await readdir(folder).catch(() => []);
  return new Set(names.filter((name) => name.endsWith('.html')).map((name) => basename(name, '.html')).filter((name) => VARIANT.test(name)));
}

/** Throws `E_ROUTE` when there is none. */
export async function readReport(model: string, variant: string): Promise<string> {
  const missing = new PenjingError('E_ROUTE', 'there is no report of this variant');
  const folder = VARIANT.test(variant) ? await reportFolder(model) : undefined;
  if (folder === undefined) throw missing;
  const file = await open(join(folder, `${variant}.html`), constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined);
  if (!file) throw missing;
  try {
    const info = await file.stat();
    if (!info.isFile() || info.size > MAX_BYTES) throw missing;
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
