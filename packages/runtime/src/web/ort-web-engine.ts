/** The `Engine` of core on onnxruntime-web: models run where this code runs, in a page or a web worker. */
import { type Engine, type EngineOptions, type Executor, type Model, PenjingError } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import { openExecutor } from '../worker/local-executor.js';
import { SessionTable } from '../worker/session-table.js';
import type { OrtApi } from '../worker/tensors.js';

export interface OrtWebEngineOptions {
  /** The module `onnxruntime-web`, in whichever of its builds the page has loaded. */
  readonly ort: OrtApi;
  /** Execution providers in order of preference; `['wasm']` when absent. */
  readonly providers?: readonly string[];
  /** Graph optimisation when a model is loaded; 'all' when absent. */
  readonly optimization?: 'none' | 'basic' | 'extended' | 'all';
}

/** WebAssembly memory ends at 4 GB, and a model is in it twice while it is loaded. */
const MOST_BYTES = 2 ** 31;

/**
 * An engine for `inlineJobs` in a browser. Runs block the thread: start it in a web worker. Weights are loaded whole, so models must
 * stay below 2 GB (`E_MEMORY`). How many threads WebAssembly has is set on the module: `ort.env.wasm.numThreads`.
 */
export function ortWebEngine({ ort, providers = ['wasm'], optimization = 'all' }: OrtWebEngineOptions): Engine {
  const sessions = new SessionTable(ort, { pass: (call) => call() });
  return {
    name: `onnxruntime-web (${providers.join(', ')})`,
    async load(model: Model, { threads = 1, signal }: EngineOptions = {}): Promise<Executor> {
      signal?.throwIfAborted();
      const [file] = serializeOnnx(model, { externalData: 'never' });
      if (file!.size > MOST_BYTES) {
        throw new PenjingError('E_MEMORY', `the model has ${file!.size} bytes; a browser can load ${MOST_BYTES}`, { hint: 'Quantize it first, or run it on Node.' });
      }
      const { buffer } = await layoutToBytes(file!);
      signal?.throwIfAborted();
      const source = { kind: 'memory', bytes: buffer as ArrayBuffer, externalData: [] } as const;
      return openExecutor(sessions, source, { threads, attempts: [providers], prepack: true, optimization, spin: false, memoryPattern: true, extra: {} });
    },
  };
}
