/** The `Engine` of core on ONNX Runtime: every session in a worker thread of its own. */
import type { ChainOptions, ChainStage, Engine, EngineOptions, Executor, Model, TaskOptions } from '@penjing/core';
import { type SessionHost, sessionHostFor } from '../session-host.js';
import { OrtChain } from './chain.js';
import type { ExternalFile } from './model-source.js';
import { type OpenedModel, openBytes, openFile, openModel } from './open.js';
import { OrtExecutor } from './executor.js';
import type { SessionOptions } from './settings.js';

/** Options for one load; those of the engine are the defaults. */
export interface LoadOptions extends SessionOptions, EngineOptions, Pick<TaskOptions, 'onProgress'> {}

export interface LoadBytesOptions extends LoadOptions {
  /** Contents of the external data files that the model names, for models too large for one buffer. */
  readonly externalData?: readonly ExternalFile[];
  /** Gives the buffers away instead of copying them; the caller's arrays are empty afterwards. */
  readonly transfer?: boolean;
}

export interface OrtEngineOptions extends SessionOptions {
  /** Models up to this many bytes are handed over in memory, larger ones through a private temporary folder (64 MiB when absent). */
  readonly memoryLimit?: number;
}

export interface OrtEngine extends Engine {
  load(model: Model, options?: LoadOptions): Promise<Executor>;
  /** Loads an ONNX file by path, of any size; external data is found beside it. The file is checked first. */
  loadFile(path: string, options?: LoadOptions): Promise<Executor>;
  /** Loads a serialized model from memory. It is checked first. */
  loadBytes(bytes: Uint8Array, options?: LoadBytesOptions): Promise<Executor>;
  /** Absent where sessions live on the calling thread. */
  readonly loadChain?: (stages: readonly ChainStage[], options: ChainOptions) => Promise<Executor>;
}

/** A worker, and the session that was opened in it. */
export interface Started {
  readonly host: SessionHost;
  readonly opened: OpenedModel;
}

/** An engine on onnxruntime-node. It holds nothing itself; each executor owns a worker thread until it is disposed. */
export function ortEngine(defaults: OrtEngineOptions = {}): OrtEngine {
  async function start(options: LoadOptions, open: (host: SessionHost, merged: OrtEngineOptions & LoadOptions) => Promise<OpenedModel>): Promise<Started> {
    options.signal?.throwIfAborted();
    const merged = { ...defaults, ...defined(options) };
    const host = sessionHostFor(merged);
    try {
      return { host, opened: await open(host, merged) };
    } catch (error) {
      await host.release(options.signal);
      throw error;
    }
  }
  const executor = ({ host, opened }: Started): Executor => new OrtExecutor(host, opened);
  const startModel = (model: Model, options: LoadOptions): Promise<Started> => start(options, (host, merged) => openModel(host, model, merged));
  const startFile = (path: string, options: LoadOptions): Promise<Started> => start(options, (host, merged) => openFile(host, path, merged));
  return {
    name: 'onnxruntime-node',
    load: async (model, options = {}) => executor(await startModel(model, options)),
    loadFile: async (path, options = {}) => executor(await startFile(path, options)),
    loadBytes: async (bytes, options = {}) => executor(await start(options, (host, merged) => openBytes(host, bytes, { ...options, ...merged }))),
    ...(defaults.thread !== 'calling' && {
      loadChain: (stages, { outputs, signal }) =>
        OrtChain.open(stages.map(({ model, file, threads }) => (opening) => {
          const options = { ...(threads !== undefined && { threads }), ...(opening && { signal: opening }) };
          return file === undefined ? startModel(model, options) : startFile(file, options);
        }), outputs, signal),
    }),
  };
}

/** Without the keys that are present but undefined, so that they do not hide defaults. */
function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
