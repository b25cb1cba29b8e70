/** The kernels of a pool thread. */
import { type Kernels, plainKernels } from '@penjing/kernels';

/** `arenaBytes` of memory to compute in. */
export function poolKernels(arenaBytes: number): Kernels {
  return plainKernels({ arenaBytes });
}
