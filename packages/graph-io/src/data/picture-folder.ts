/** A folder of pictures; a sub-folder per class when there are any. */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { dataLimits } from '../limits.js';
import { type DataSource, dataSource, numberLabels } from './data-source.js';
import { isPicture, readPicture } from './picture.js';
import { hashOf, readBounded } from './read-bounded.js';

/** Pictures are recognised by their content; other files are passed over. Throws `E_DATA` when there are none. */
export async function openPictureFolder(folder: string): Promise<DataSource> {
  const found: { path: string; folder: string; state: string }[] = [];
  let seen = 0;
  const visit = async (path: string, name: string, depth: number): Promise<void> => {
    const entries = await readdir(path, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (++seen > dataLimits.files) throw new PenjingError('E_LIMIT', `${folder} holds more than ${dataLimits.files} files`);
      const inner = join(path, entry.name);
      if (entry.isDirectory() && depth === 0) await visit(inner, entry.name, 1);
      else if (entry.isFile() && (await startsLikePicture(inner))) {
        const { size, mtimeMs } = await stat(inner);
        found.push({ path: inner, folder: name, state: `${name}/${entry.name} ${size} ${mtimeMs}` });
      }
    }
  };
  await visit(folder, '', 0);
  if (found.length === 0) throw new PenjingError('E_DATA', `${folder} holds no PNG or JPEG pictures, and no input_*.pb`);
  const labelled = found.every((file) => file.folder !== '');
  const { numbers, classes } = labelled ? numberLabels(found.map((file) => file.folder)) : { numbers: [], classes: undefined };
  return dataSource({
    format: 'pictures', count: found.length, labelled, classes,
    // Names, sizes and times stand for the content: a large folder is not read twice.
    hash: hashOf(...found.map(({ state }) => state)),
    async item(index) {
      const { path } = found[index]!;
      return { kind: 'picture', picture: readPicture(path, await readBounded(path)), ...(labelled && { label: numbers[index]! }) };
    },
  });
}

async function startsLikePicture(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { bytesRead, buffer } = await file.read(new Uint8Array(8), 0, 8, 0);
    return bytesRead >= 3 && isPicture(buffer.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}
