/** Loads `@penjing/runtime` when a graph has to run; conversion and quantization work without it. */
import { PenjingError } from '@penjing/core';
import type * as runtime from '@penjing/runtime';

export type Runtime = typeof runtime;

/** Throws `E_RUNTIME_MISSING` when the package is not installed. */
export async function loadRuntime(): Promise<Runtime> {
  try {
    return await import('@penjing/runtime');
  } catch (cause) {
    throw new PenjingError('E_RUNTIME_MISSING', 'this step has to run the model, and @penjing/runtime cannot be loaded', {
      hint: 'npm install @penjing/runtime',
      cause,
    });
  }
}
