/** Opens a written model with ONNX Runtime before it appears: a file that does not load is no result. */
import { rm, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isPenjingError, PenjingError } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import { openOnnx } from './inputs/onnx.js';
import { graphBytes } from './inputs/open-input.js';
import { loadRuntime } from './load-runtime.js';

export interface LoadCheck {
  readonly done: boolean;
  /** One sentence for people. */
  readonly text: string;
  readonly milliseconds?: number;
}

/** Up to this the file is loaded as a client would; beyond, loading would take several times its size. */
const WHOLE_BYTES = 64 * 2 ** 20;

export interface LoadCheckOptions {
  /** What to call the model in messages; its path is one of the work folder. */
  readonly name: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Throws `E_LOAD_CHECK` when ONNX Runtime refuses the file; says so when there is no runtime. A large file is loaded through a
 * small one that points at its weights: ONNX Runtime maps them, and memory does not grow with the model.
 */
export async function checkLoads(path: string, options: LoadCheckOptions): Promise<LoadCheck> {
  const started = performance.now();
  const { signal } = options;
  try {
    const { ortEngine } = await loadRuntime();
    const large = (await graphBytes(path)) > WHOLE_BYTES;
    await using executor = large
      ? await withPointers(path, (small) => ortEngine().loadFile(small, { prepack: 'never', optimization: 'none', ...(signal && { signal }) }), signal)
      : await ortEngine().loadFile(path, { ...(signal && { signal }) });
    const milliseconds = performance.now() - started;
    return { done: true, milliseconds, text: `ONNX Runtime loads it (${executor.inputs.length} inputs, ${executor.outputs.length} outputs, ${milliseconds.toFixed(0)} ms${large ? ', weights mapped' : ''})` };
  } catch (cause) {
    if (isPenjingError(cause) && cause.code === 'E_RUNTIME_MISSING') return { done: false, text: 'not loaded: @penjing/runtime is not installed' };
    if (signal?.aborted) throw cause;
    throw new PenjingError('E_LOAD_CHECK', `ONNX Runtime does not load what ${options.name} would be: ${cause instanceof Error ? cause.message : String(cause)}`, {
      hint: 'If ONNX Runtime refuses the input as well, the fault is there; otherwise please report this. --no-check writes the output all the same.',
      cause,
    });
  }
}

/** Runs `body` with a file beside `path` that has its graph and points at its weights. */
async function withPointers<T>(path: string, body: (small: string) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const small = `${path}.check`;
  const folder = dirname(path);
  const model = await openOnnx(path, signal);
  const [file] = serializeOnnx(model, { inPlace: (uri) => (dirname(fileURLToPath(uri)) === folder ? basename(fileURLToPath(uri)) : undefined) });
  await writeFile(small, await layoutToBytes(file!));
  try {
    return await body(small);
  } finally {
    await rm(small, { force: true });
  }
}
