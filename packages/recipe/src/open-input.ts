/** Opens whatever the user points at: recognised by content, never by extension. */
import { lstat, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type ByteSource, type Model, PenjingError } from '@penjing/core';
import { type FormatName, type ModelFolder, readOnnx, SNIFF_BYTES, sniffFormat } from '@penjing/graph-io';
import { fileSource, openExternalFile, openFolder } from '@penjing/graph-io/node';

/** What stands at a path. */
export type Input =
  /** One `.onnx` file. */
  | { readonly kind: 'onnx'; readonly path: string }
  /** A weights file without a graph. */
  | { readonly kind: 'safetensors'; readonly path: string }
  /** config.json with safetensors weights. */
  | { readonly kind: 'huggingface'; readonly path: string; readonly folder: ModelFolder }
  /** The layout of transformers.js: config.json and onnx/model….onnx. */
  | { readonly kind: 'model-folder'; readonly path: string; readonly folder: ModelFolder; readonly graphs: readonly string[] };

/** Why each format that is recognised but not read yet is refused, and what to do. */
const notYet: Readonly<Partial<Record<FormatName, string>>> = {
  gguf: 'GGUF files are not read yet; start from the Hugging Face checkpoint.',
  pytorch: 'PyTorch files are not read yet; start from safetensors.',
  pickle: 'Old PyTorch files are not read yet; start from safetensors.',
  tflite: 'TensorFlow Lite files are not read yet.',
  hdf5: 'Keras files are not read.',
  gzip: 'Unpack the archive first.',
};

/** Throws `E_NOT_FOUND`, or `E_FORMAT` for a file or folder that is no model this version reads. */
export async function detectInput(path: string): Promise<Input> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `${path} is not there`, { cause, hint: 'Check the path.' });
  });
  if (info.isDirectory()) return detectFolder(path);
  // A pipe would be waited for, a device has no end.
  if (!info.isFile()) throw new PenjingError('E_FORMAT', `${path} is no regular file`, { hint: 'Give the path of a file or folder.' });
  const format = await formatOf(path);
  if (format === 'onnx' || format === 'safetensors') return { kind: format, path };
  throw new PenjingError('E_FORMAT', `${path} is ${format === 'unknown' ? 'no model file that is known' : `a ${format} file`}`, {
    hint: notYet[format] ?? 'Penjing reads Hugging Face folders, safetensors and ONNX.',
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

async function detectFolder(path: string): Promise<Input> {
  const names = await readdir(path);
  const folder = openFolder(path);
  const hasWeights = names.some((name) => name.endsWith('.safetensors') || name === 'model.safetensors.index.json');
  if (names.includes('config.json') && hasWeights) return { kind: 'huggingface', path, folder };
  const inner = names.includes('onnx') ? await readdir(join(path, 'onnx')).catch(() => []) : [];
  const graphs = [...inner.filter(isGraph).map((name) => `onnx/${name}`), ...names.filter(isGraph)];
  if (graphs.length > 0) return { kind: 'model-folder', path, folder, graphs: graphs.sort(byPrecision) };
  throw new PenjingError('E_FORMAT', `${path} holds no model that this version reads`, {
    hint: names.includes('config.json')
      ? 'Its weights must be in safetensors (model.safetensors, or shards with model.safetensors.index.json).'
      : 'A model folder has a config.json and safetensors weights, or onnx/model.onnx.',
  });
}

const isGraph = (name: string): boolean => name.endsWith('.onnx');

/** The full-precision graph first: it is the one to start from. */
function byPrecision(a: string, b: string): number {
  const rank = (name: string): number => (basename(name) === 'model.onnx' ? 0 : 1);
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

/** Reads an ONNX file, with external data from its own folder only. */
export async function openOnnx(path: string, signal?: AbortSignal): Promise<Model> {
  const source: ByteSource = await fileSource(path);
  const folder = dirname(path);
  return readOnnx(source, { externalSource: (location) => openExternalFile(folder, location), ...(signal ? { signal } : {}) });
}

/** The graph to run: an ONNX file, or the full-precision one of a model folder. */
export async function graphPath(path: string): Promise<string> {
  const input = await detectInput(path);
  if (input.kind === 'onnx') return path;
  if (input.kind === 'model-folder') return join(path, input.graphs[0]!);
  throw new PenjingError('E_FORMAT', `${path} has weights but no graph that can run`, { hint: 'Convert the checkpoint first: `penjing convert`.' });
}

/** Bytes of a graph file and of the external data beside it. */
export async function graphBytes(path: string): Promise<number> {
  const sizes = await Promise.all([path, `${path}_data`].map((file) => lstat(file).then((info) => info.size, () => 0)));
  return sizes.reduce((sum, size) => sum + size, 0);
}
