/** Opens what `--data` names, recognised by its content. */
import { open, stat } from 'node:fs/promises';
import { PenjingError } from '@penjing/core';
import { fileSource } from '../node/file-source.js';
import { type DataSource, dataSource } from './data-source.js';
import { isIdx, openIdx } from './idx.js';
import { openJsonLines } from './json-lines.js';
import { isNpy, openNpy, openNpz } from './numpy.js';
import { isPicture, readPicture } from './picture.js';
import { openPictureFolder } from './picture-folder.js';
import { openProtoFolder, protoSets } from './proto-folder.js';
import { hashOf, readBounded } from './read-bounded.js';
import { openTable, type TableOptions } from './table.js';
import { utf8Text } from './utf8-text.js';
import { isWave, openWave } from './wave.js';

export type OpenDataOptions = TableOptions;

/** `digits.gz#0:512`: items [0, 512). */
const RANGE = /^(.+)#(\d{0,15}):(\d{0,15})$/;

/**
 * A text, JSON lines, .npy, .npz, IDX with labels beside it, .csv, .wav, a picture; a folder of ONNX tensors or of pictures. Single
 * files may be packed with gzip. `PATH#FROM:TO` takes a part. Throws `E_NOT_FOUND`, `E_DATA`, `E_LIMIT`.
 */
export async function openData(path: string, options: OpenDataOptions = {}): Promise<DataSource> {
  const range = RANGE.exec(path);
  if (!range || (await stat(path).catch(() => undefined))) return openWhole(path, options);
  const source = await openWhole(range[1]!, options);
  const [from, to] = [Number(range[2] || 0), Math.min(Number(range[3] || Infinity), source.count)];
  if (from >= to) throw new PenjingError('E_DATA', `${range[1]} has ${source.count} items: none from ${range[2]} to ${range[3]}`);
  return { ...source, count: to - from, hash: hashOf(source.hash, `${from}:${to}`), item: (index) => source.item(from + index) };
}

async function openWhole(path: string, options: OpenDataOptions): Promise<DataSource> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `the data ${path} is not there`, { cause });
  });
  if (info.isDirectory()) {
    const sets = await protoSets(path);
    return sets.length > 0 ? openProtoFolder(sets) : openPictureFolder(path);
  }
  if (!info.isFile()) throw new PenjingError('E_DATA', `the data ${path} is neither a file nor a folder`);
  const head = await firstBytes(path);
  if (isNpy(head) || isZip(head)) {
    const source = await fileSource(path);
    // The file may be large and is read row by row: its size and time stand for its content.
    const opened = await (isNpy(head) ? openNpy : openNpz)(path, source, hashOf(JSON.stringify(source.descriptor)));
    return { ...opened, [Symbol.asyncDispose]: () => source[Symbol.asyncDispose]() };
  }
  const bytes = await readBounded(path);
  if (isIdx(bytes)) return openIdx(path, bytes);
  if (isWave(bytes)) return openWave(path, bytes);
  if (isPicture(bytes)) return dataSource({ format: 'picture', count: 1, hash: hashOf(bytes), item: async () => ({ kind: 'picture', picture: readPicture(path, bytes) }) });
  return openText(path, bytes, options);
}

function openText(path: string, bytes: Uint8Array, options: OpenDataOptions): DataSource {
  const text = utf8Text(path, bytes, { hint: 'It is no other data that is known either: JSON lines, .npy, .npz, IDX, .csv, .wav, PNG, JPEG, folders of pictures or of input_*.pb.' });
  const name = path.replace(/\.gz$/, '');
  if (/\.(csv|tsv)$/i.test(name) || options.columns) return openTable(path, bytes, options);
  if (/\.(jsonl|ndjson)$/i.test(name)) return openJsonLines(path, bytes, text);
  return dataSource({ format: 'text', count: 1, hash: hashOf(bytes), item: async () => ({ kind: 'text', text }) });
}

function isZip(head: Uint8Array): boolean {
  return head[0] === 0x50 && head[1] === 0x4b && (head[2] === 3 || head[2] === 5);
}

async function firstBytes(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { bytesRead, buffer } = await file.read(new Uint8Array(16), 0, 16, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
