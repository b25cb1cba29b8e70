/** Where graph-io meets the engine: files are checked by our reader, models are serialized by our writer. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ByteSource, cloneModel, type LazyTensor, type Model, PenjingError, type TaskOptions, type Tensor, memorySource, modelGraphs, storedTensors } from '@penjing/core';
import { layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';
import { fileSource, openExternalFile, saveLayouts } from '@penjing/graph-io/node';
import type { SessionSource } from '../worker/wire-types.js';
import type { WeightFacts } from './settings.js';

/** Content of one external data file, under the location by which the model names it. */
export interface ExternalFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** A model that our reader accepted. */
export interface CheckedModel {
  readonly model: Model;
  readonly weights: Omit<WeightFacts, 'byPath'>;
  /** The model file and its external data. */
  readonly bytes: number;
  /** Whether its weights lie in files although its graph is in memory. */
  readonly weightsInFiles?: boolean;
}

/** Reads a file as far as needed to know that it is sound; ONNX Runtime crashes on files that are not. */
export const checkFile = (path: string, signal?: AbortSignal): Promise<CheckedModel> => withCheckedFile(path, signal, async (checked) => checked);

/** The same, for code that reads weights: they can be read until `body` ends. */
export async function withCheckedFile<T>(path: string, signal: AbortSignal | undefined, body: (checked: CheckedModel) => Promise<T>): Promise<T> {
  await using files = new OpenFiles();
  const file = files.add(await fileSource(path));
  const model = await readOnnx(file, {
    externalSource: async (location) => files.add(await openExternalFile(dirname(path), location)),
    ...(signal ? { signal } : {}),
  });
  return await body({ model, weights: weightFacts(model), bytes: files.bytes });
}

/** The files of a model while it is checked; afterwards nothing of it is read here any more. */
class OpenFiles implements AsyncDisposable {
  readonly #files: (ByteSource & AsyncDisposable)[] = [];

  add<T extends ByteSource & AsyncDisposable>(file: T): T {
    this.#files.push(file);
    return file;
  }

  get bytes(): number {
    return this.#files.reduce((sum, { size }) => sum + size, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files) await file[Symbol.asyncDispose]();
  }
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

/** Serializes a model to memory, or through the pool to files in a private folder, inside a temporary one when no other is given. */
export async function storeModel(model: Model, inMemory: boolean, options: TaskOptions = {}, parent?: string): Promise<StoredModel> {
  const layouts = serializeOnnx(model, { externalData: inMemory ? 'never' : 'always' });
  const bytes = layouts.reduce((sum, { size }) => sum + size, 0);
  if (inMemory) {
    const file = await layoutToBytes(layouts[0]!);
    return { source: { kind: 'memory', bytes: file.buffer as ArrayBuffer, externalData: [] }, bytes, cleanup: async () => {} };
  }
  // Made private (mode 700) first; weights may be confidential and /tmp is everybody's.
  const folder = await mkdtemp(parent === undefined ? join(tmpdir(), 'penjing-session-') : join(parent, 'session-'));
  const target = join(folder, 'model');
  const cleanup = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    await saveLayouts(target, layouts, { ...options, manifest: false });
  } catch (error) {
    await cleanup();
    throw error;
  }
  return { source: { kind: 'file', path: join(target, layouts[0]!.name) }, bytes, cleanup };
}

/**
 * A model whose weights are ranges of files in one folder, as bytes that point at them there: nothing of them is copied. Undefined when
 * the others, which stand in the bytes, take more than `limit` together.
 */
export async function storeInPlace(model: Model, limit: number): Promise<{ readonly source: SessionSource; readonly folder: string } | undefined> {
  const folders = new Map<string, number>();
  let bytes = 0;
  for (const { tensor } of storedTensors(model)) {
    bytes += tensor.byteLength;
    const folder = folderOf(tensor);
    if (folder !== undefined) folders.set(folder, (folders.get(folder) ?? 0) + tensor.byteLength);
  }
  const [folder, there] = [...folders].sort((a, b) => b[1] - a[1])[0] ?? [];
  if (folder === undefined || bytes - there! > limit) return undefined;
  const [layout] = serializeOnnx(model, { inPlace: placesIn(folder) });
  return { source: { kind: 'memory', bytes: (await layoutToBytes(layout!)).buffer as ArrayBuffer, externalData: [] }, folder };
}

function folderOf(tensor: Tensor): string | undefined {
  const expr = tensor.kind === 'lazy' ? (tensor as LazyTensor).expr : undefined;
  return expr?.op === 'source' && expr.source.startsWith('file:') ? dirname(fileURLToPath(expr.source)) : undefined;
}

/** For `serializeOnnx`: weights in files of this folder stay where they are. */
export function placesIn(folder: string): (uri: string) => string | undefined {
  return (uri) => (uri.startsWith('file:') && dirname(fileURLToPath(uri)) === folder ? basename(fileURLToPath(uri)) : undefined);
}

/** Says where a model that came as bytes has its weights, in `SessionOptions.sessionConfig`. */
export function weightFolder(folder: string): Readonly<Record<string, string>> {
  return { 'session.model_external_initializers_file_folder_path': folder };
}

/**
 * The model with its weights taken off the list of its inputs, where it has them there, as exporters of IR version 3 had to: from version 4 on a weight on that list may be replaced by a caller, so
 * ONNX Runtime folds and fuses nothing that touches it. An executor never replaces one.
 */
export function withFixedWeights(model: Model): Model {
  if (!hasLooseWeights(model)) return model;
  const fixed = cloneModel(model);
  const { inputs } = fixed.graph;
  inputs.splice(0, inputs.length, ...inputs.filter(({ tensor }) => !tensor));
  return fixed;
}

export function hasLooseWeights({ graph, irVersion }: Model): boolean {
  return irVersion >= FIRST_WITH_DEFAULTS && graph.inputs.some(({ tensor }) => tensor !== undefined);
}

/** The IR version from which on a weight among the inputs is a default of that input. */
const FIRST_WITH_DEFAULTS = 4;

/** Nodes that read weights of fewer bits; their kernels need ONNX Runtime's packed form. */
const quantizedOps = /NBits|BlockQuantized|DequantizeLinear|QLinear|Integer|^QGemm$/;

export function weightFacts(model: Model): Omit<WeightFacts, 'byPath'> {
  let bytes = 0;
  for (const { tensor } of storedTensors(model)) bytes += tensor.byteLength;
  let quantized = false;
  for (const graph of modelGraphs(model)) for (const node of graph.nodes()) quantized ||= quantizedOps.test(node.opType);
  return { bytes, quantized };
}
