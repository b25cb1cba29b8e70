/** Where graph-io meets the engine: files are checked by our reader, models are serialized by our writer. */
import { mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type ByteSource, type LazyTensor, type Model, PenjingError, allNodes, memorySource, modelGraphs, storedTensors } from '@penjing/core';
import { layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';
import type { SessionSource } from '../worker/protocol.js';
import type { ExternalFile } from './open.js';
import type { WeightFacts } from './settings.js';

/** A model that our reader accepted. */
export interface CheckedModel {
  readonly model: Model;
  readonly weights: Omit<WeightFacts, 'byPath'>;
  /** The model file and its external data. */
  readonly bytes: number;
}

/** Reads a file as far as needed to know that it is sound; ONNX Runtime crashes on files that are not. */
export async function checkFile(path: string): Promise<CheckedModel> {
  const model = await readOnnx(await fileSource(path), { externalSource: (location) => fileSource(join(dirname(path), location)) });
  return { model, weights: weightFacts(model), bytes: fileBytes(model) + (await stat(path)).size };
}

export async function checkBytes(bytes: Uint8Array, external: readonly ExternalFile[]): Promise<CheckedModel> {
  const model = await readOnnx(memorySource(bytes), {
    async externalSource(location) {
      const file = external.find(({ path }) => path === location);
      if (file) return memorySource(file.bytes);
      throw new PenjingError('E_EXTERNAL_DATA', `the model keeps weights in ${location}, which was not given`, {
        hint: 'Pass the content of that file in `externalData`, or load the model by its path.',
      });
    },
  });
  const bytesOfFiles = external.reduce((sum, file) => sum + file.bytes.byteLength, bytes.byteLength);
  return { model, weights: weightFacts(model), bytes: bytesOfFiles };
}

export interface StoredModel {
  readonly source: SessionSource;
  readonly bytes: number;
  /** Deletes the files, if there are any. */
  readonly cleanup: () => Promise<void>;
}

/** Serializes a model to memory, or to files in a private temporary folder. */
export async function storeModel(model: Model, inMemory: boolean, _signal?: AbortSignal): Promise<StoredModel> {
  const layouts = serializeOnnx(model, { externalData: inMemory ? 'never' : 'always' });
  const bytes = layouts.reduce((sum, { size }) => sum + size, 0);
  if (inMemory) {
    const file = await layoutToBytes(layouts[0]!);
    return { source: { kind: 'memory', bytes: file.buffer as ArrayBuffer, externalData: [] }, bytes, cleanup: async () => {} };
  }
  const folder = await mkdtemp(join(tmpdir(), 'penjing-'));
  const cleanup = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    for (const layout of layouts) await writeFile(join(folder, layout.name), await layoutToBytes(layout));
  } catch (error) {
    await cleanup();
    throw error;
  }
  return { source: { kind: 'file', path: join(folder, layouts[0]!.name) }, bytes, cleanup };
}

/** Nodes that read weights of fewer bits; their kernels need ONNX Runtime's packed form. */
const quantizedOps = /NBits|BlockQuantized|DequantizeLinear|QLinear|Integer|^QGemm$/;

export function weightFacts(model: Model): Omit<WeightFacts, 'byPath'> {
  let bytes = 0;
  for (const { tensor } of storedTensors(model)) bytes += tensor.byteLength;
  let quantized = false;
  for (const graph of modelGraphs(model)) for (const node of allNodes(graph)) quantized ||= quantizedOps.test(node.opType);
  return { bytes, quantized };
}

/** Size of the external data files that the weights are in. */
function fileBytes(model: Model): number {
  const sizes = new Map<string, number>();
  for (const { tensor } of storedTensors(model)) {
    if (tensor.kind !== 'lazy') continue;
    for (const source of (tensor as LazyTensor).sources.values()) {
      if (source.descriptor.kind === 'file' && source.descriptor.path !== model.origin?.path) sizes.set(source.descriptor.path, source.size);
    }
  }
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/** Until the one of graph-io/node is there. */
async function fileSource(path: string): Promise<ByteSource> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `${path} does not exist`, { cause });
  });
  return {
    uri: `file:${path}`,
    size: info.size,
    descriptor: { kind: 'file', path, size: info.size, mtimeMs: info.mtimeMs },
    async read(offset, length) {
      const handle = await open(path);
      try {
        const bytes = new Uint8Array(length);
        await handle.read(bytes, 0, length, offset);
        return bytes;
      } finally {
        await handle.close();
      }
    },
  };
}
