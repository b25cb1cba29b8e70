/** The kernels that optimizers step with: SIMD where it is to be had. */
import { type GridKernels, plainKernels, type UpdateKernels, wasmKernels } from '@penjing/kernels';

let kernels: (UpdateKernels & GridKernels) | undefined;

/** One instance per thread, without an arena: weights and state stay where the trainer has them, and pass through a staging area. */
export function updateKernels(): UpdateKernels & GridKernels {
  return (kernels ??= fastest());
}

function fastest(): UpdateKernels & GridKernels {
  try {
    return wasmKernels({ arenaBytes: 0 });
  } catch (error) {
    // Without SIMD the module does not compile; the plain kernels give the same results.
    if (error instanceof WebAssembly.CompileError) return plainKernels({ arenaBytes: 0 });
    throw error;
  }
}
