/** Every kernel over one WebAssembly memory: SIMD where it pays, the plain twin elsewhere. Same results, bit for bit. */
import type { Kernels } from '../kernels.js';
import { arithmeticKernels } from './arithmetic.js';
import { codecKernels } from './block-codecs.js';
import { blockKernels } from './blocks.js';
import { castKernels } from './cast.js';
import { cellKernels } from './cells.js';
import { instantiate } from './instance.js';
import { gridKernels } from './on-grid.js';
import { packKernels } from './pack.js';
import { panelKernels } from './panel.js';
import { statsKernels } from './stats.js';
import { transposeKernel } from './transpose.js';
import { updateKernels } from './updates.js';

/**
 * Kernels with an arena of `arenaBytes` (default 16 MiB, reserved at once, at most 4 GiB less 1 MiB). Compiles synchronously, once per
 * thread (about a millisecond). Throws `WebAssembly.CompileError` where SIMD is missing: use `plainKernels` there.
 */
export function wasmKernels({ arenaBytes = 16 * 2 ** 20 }: { arenaBytes?: number } = {}): Kernels {
  const instance = instantiate(arenaBytes);
  return {
    name: 'wasm',
    arena: instance.arena,
    ...castKernels(instance),
    ...arithmeticKernels(instance),
    ...blockKernels(instance),
    ...codecKernels(instance),
    ...packKernels(instance),
    ...panelKernels(instance),
    ...cellKernels(instance),
    transpose2d: transposeKernel(instance),
    ...statsKernels(instance),
    ...updateKernels(instance),
    ...gridKernels(instance),
  };
}
