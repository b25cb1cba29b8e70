/** Opens whatever the user points at: recognised by content, never by extension. */
import { lstat, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { type FormatName, SNIFF_BYTES, sniffFormat } from '@penjing/graph-io';
import { inputFormats } from './formats.js';
import type { Input } from './input.js';
import { firstGraph } from './model-folder.js';

/** What to do with files that are recognised and not read. */
const notRead: Readonly<Partial<Record<FormatName, string>>> = {
  hdf5: 'Keras files are not read.',
  gzip: 'Unpack the archive first.',
};

const WEIGHTS = /\.safetensors$|^pytorch_model.*\.bin$/;

/** Throws `E_NOT_FOUND`, or `E_FORMAT` for a file or folder that is no model this version reads. */
export async function openInput(path: string): Promise<Input> {
  const info = await stat(path).catch((cause: unknown) => {
    // Node turns bytes of a name that are no UTF-8 into this character, and such a file cannot be opened.
    const hint = path.includes('\uFFFD') ? 'Its name is no UTF-8: rename it.' : 'Check the path.';
    throw new PenjingError('E_NOT_FOUND', `${path || "''"} is not there`, { cause, hint });
  });
  if (info.isDirectory()) return openFolderInput(path);
  // A pipe would be waited for, a device has no end.
  if (!info.isFile()) throw new PenjingError('E_FORMAT', `${path} is no regular file`, { hint: 'Give the path of a file or folder.' });
  if (info.size === 0) throw new PenjingError('E_FORMAT', `${path} is empty`, { hint: 'Download it again.', details: { path } });
  const format = await formatOf(path);
  const found = inputFormats.find(({ files }) => files?.includes(format));
  if (found) return found.open(path);
  throw new PenjingError('E_FORMAT', `${path} is ${format === 'unknown' ? 'no model file that is known' : `a ${format} file`}`, {
    hint: notRead[format] ?? 'Penjing reads Hugging Face folders, PyTorch, safetensors, GGUF, ONNX and TensorFlow Lite.',
    details: { path, format },
  });
}

async function formatOf(path: string): Promise<FormatName> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(new Uint8Array(SNIFF_BYTES), 0, SNIFF_BYTES, 0);
    return sniffFormat(buffer.subarray(0, bytesRead), size);
  } finally {
    await file.close();
  }
}

async function openFolderInput(path: string): Promise<Input> {
  const names = await readdir(path);
  const inner = names.includes('onnx') ? await readdir(join(path, 'onnx')).catch(() => []) : [];
  const found = inputFormats.find(({ holds }) => holds?.(names, inner));
  if (found) return found.open(path);
  throw new PenjingError('E_FORMAT', `${path} holds no model that this version reads`, {
    hint: names.includes('config.json')
      ? 'Its weights must be there too: model.safetensors or pytorch_model.bin, or shards with their index.'
      : names.some((name) => WEIGHTS.test(name))
        ? 'It has weights and no config.json, which says what they are the weights of.'
        : 'A model folder has a config.json and weights, or onnx/model.onnx.',
  });
}

/** The graph to run: an ONNX file, or the full-precision one of a model folder. */
export async function graphPath(path: string): Promise<string> {
  const { format } = await openInput(path);
  if (format === 'ONNX') return path;
  const first = format === 'model folder' ? await firstGraph(path) : undefined;
  if (first !== undefined) return join(path, first);
  throw new PenjingError('E_FORMAT', `${path} has weights but no graph that can run`, { hint: 'Convert the checkpoint first: `penjing convert`.' });
}

/** Bytes of a graph file and of the external data beside it. */
export async function graphBytes(path: string): Promise<number> {
  const sizes = await Promise.all([path, `${path}_data`].map((file) => lstat(file).then((info) => info.size, () => 0)));
  return sizes.reduce((sum, size) => sum + size, 0);
}
