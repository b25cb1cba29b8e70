/** Opens a written model with ONNX Runtime before it appears: a file that does not load is no result. */
import { freemem } from 'node:os';
import { isPenjingError, PenjingError } from '@penjing/core';
import { loadRuntime } from './load-runtime.js';
import { graphBytes } from './inputs/open-input.js';

export interface LoadCheck {
  readonly done: boolean;
  /** One sentence for people. */
  readonly text: string;
  readonly milliseconds?: number;
}

// Loading packs weights into a second copy; beyond this share of free memory the check would do harm.
const MEMORY_SHARE = 0.4;

export interface LoadCheckOptions {
  /** What to call the model in messages; its path is one of the work folder. */
  readonly name: string;
  readonly signal?: AbortSignal | undefined;
}

/** Throws `E_LOAD_CHECK` when ONNX Runtime refuses the file; says so when there is no runtime or no room. */
export async function checkLoads(path: string, options: LoadCheckOptions): Promise<LoadCheck> {
  const bytes = await graphBytes(path);
  if (bytes > freemem() * MEMORY_SHARE) {
    return { done: false, text: `not loaded: the model takes ${(bytes / 1e9).toFixed(1)} GB, ${(freemem() / 1e9).toFixed(1)} GB are free` };
  }
  const started = performance.now();
  try {
    const { ortEngine } = await loadRuntime();
    await using executor = await ortEngine().loadFile(path, { ...(options.signal && { signal: options.signal }) });
    const milliseconds = performance.now() - started;
    return { done: true, milliseconds, text: `ONNX Runtime loads it (${executor.inputs.length} inputs, ${executor.outputs.length} outputs, ${milliseconds.toFixed(0)} ms)` };
  } catch (cause) {
    if (isPenjingError(cause) && cause.code === 'E_RUNTIME_MISSING') return { done: false, text: 'not loaded: @penjing/runtime is not installed' };
    if (options.signal?.aborted) throw cause;
    throw new PenjingError('E_LOAD_CHECK', `ONNX Runtime does not load what ${options.name} would be: ${cause instanceof Error ? cause.message : String(cause)}`, {
      hint: 'If ONNX Runtime refuses the input as well, the fault is there; otherwise please report this. --no-check writes the output all the same.',
      cause,
    });
  }
}
