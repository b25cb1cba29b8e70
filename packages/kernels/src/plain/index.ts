/** Every kernel in plain TypeScript: the definition of the results, the test oracle, and the fallback without WebAssembly. */
import { bumpArena } from '../arena.js';
import type { Kernels } from '../kernels.js';
import { add, multiply } from './arithmetic.js';
import { decodeBlocks, repackBlocks } from './block-codecs/decode.js';
import { encodeBlocks } from './block-codecs/encode.js';
import { pruneCells } from './cells.js';
import { fromFloat32, toFloat32 } from './cast.js';
import { dequantizeBlocks } from './dequantize.js';
import { projectOnGrid, straightThrough } from './on-grid.js';
import { pack, unpack } from './pack.js';
import { addProduct, choleskyPanel, projectRows, solveLower } from './panel.js';
import { quantizeBlocks } from './quantize.js';
import { absMax, argMax, cosine, errorStats, klDivergence, minMax, topK } from './stats.js';
import { transpose2d } from './transpose.js';
import { adamW, blend, dropMask, holdZeros, lion, momentum, sumSquares } from './updates.js';

/** Kernels that need nothing but JavaScript. `arenaBytes` (default 16 MiB) sizes the arena, which they do not need. */
export function plainKernels({ arenaBytes = 16 * 2 ** 20 }: { arenaBytes?: number } = {}): Kernels {
  return {
    name: 'plain',
    arena: bumpArena(new ArrayBuffer(arenaBytes)),
    toFloat32, fromFloat32, quantizeBlocks, dequantizeBlocks, decodeBlocks, repackBlocks, encodeBlocks, add, multiply, pack, unpack, transpose2d,
    choleskyPanel, solveLower, addProduct, projectRows, pruneCells,
    adamW, lion, momentum, blend, sumSquares, holdZeros, dropMask, projectOnGrid, straightThrough,
    minMax, absMax, errorStats, klDivergence, cosine, argMax, topK,
  };
}
