/** What a task is run on: texts from the command line, and the items of data. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { openData, type DataItem } from '@penjing/graph-io/data';
import type { PictureInput, TextInput } from '@penjing/runtime';

export interface Named<Input> {
  /** What to call it in a result. */
  readonly name: string;
  readonly input: Input;
}

/** Texts and pairs; a plain file gives one for each of its lines. Throws `E_DATA` for data of another kind. */
export async function textInputs(texts: readonly string[], data: readonly string[], columns?: readonly string[]): Promise<Named<TextInput>[]> {
  const found: Named<TextInput>[] = texts.map((text) => ({ name: text, input: text }));
  for (const path of data) {
    for await (const item of items(path, columns)) {
      if (item.kind === 'pair') found.push({ name: item.texts.join(' | '), input: { text: item.texts[0], pair: item.texts[1] } });
      else if (item.kind !== 'text') throw new PenjingError('E_DATA', `${path} holds ${item.kind}s, and this task reads texts`);
      else if (/\.(jsonl|ndjson|csv|tsv)(\.gz)?$/i.test(path.replace(/#\d*:\d*$/, ''))) found.push({ name: item.text, input: item.text });
      else for (const line of item.text.split(/\r?\n/)) if (line.trim() !== '') found.push({ name: line, input: line });
    }
  }
  return found;
}

/** Files, also those of a folder and its folders, by their path, which the task decodes; other data item by item. */
export async function pictureInputs(data: readonly string[]): Promise<Named<PictureInput>[]> {
  const found: Named<PictureInput>[] = [];
  for (const path of data) {
    const info = await stat(path).catch(() => undefined);
    const inside = info?.isDirectory() ? await picturesIn(path) : [];
    if (inside.length > 0) {
      found.push(...inside.map((file) => ({ name: file, input: file })));
      continue;
    }
    if (info?.isFile() && !/\.(gz|npy|npz|csv|jsonl)$/i.test(path) && !/ubyte/.test(path)) {
      found.push({ name: path, input: path });
      continue;
    }
    let count = 0;
    for await (const item of items(path)) {
      if (item.kind !== 'picture') throw new PenjingError('E_DATA', `${path} holds ${item.kind}s, and this task sees pictures`);
      found.push({ name: `${path} ${count++}`, input: item.picture });
    }
  }
  return found;
}

const PICTURE = /\.(png|jpe?g|webp|gif|tiff?|avif)$/i;

async function picturesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile() && PICTURE.test(entry.name)).map((entry) => join(entry.parentPath, entry.name)).sort();
}

async function* items(path: string, columns?: readonly string[]): AsyncGenerator<DataItem> {
  await using source = await openData(path, columns ? { columns } : {});
  for (let i = 0; i < source.count; i++) yield await source.item(i);
}
