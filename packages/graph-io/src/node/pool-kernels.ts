/** The kernels of a pool thread. */
import { type Kernels, plainKernels, wasmKernels } from '@penjing/kernels';

/** `arenaBytes` of memory to compute in. The two kinds of kernels give the same bytes. */
export function poolKernels(arenaBytes: number): Kernels {
  const usable = typeof WebAssembly === 'object';
  return usable ? wasmKernels({ arenaBytes }) : plainKernels({ arenaBytes });
}
