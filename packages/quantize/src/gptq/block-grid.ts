/** Scales and zero points of one matrix while its rows are rounded, and its codes in the form in which they are stored. */
import type { Constraint, RowGroup } from '@penjing/core/linalg';
import type { GridFit, Kernels } from '@penjing/kernels';
import { type BlockGrids, nearestGrids, storeCodes, type StoredBlocks } from '../block-codes.js';
import type { WeightScheme } from '../scheme.js';

export interface BlockGridOptions {
  readonly scheme: WeightScheme;
  /** How the grid of a block follows from the values that are to be rounded. */
  readonly fit: GridFit;
  /** Input features and outputs. */
  readonly size: number;
  readonly cols: number;
  readonly kernels: Kernels;
  /** The input at each row; rows in their own order when absent. */
  readonly order: Uint32Array | undefined;
}

export interface BlockGrid {
  /** Rows that are constrained together. */
  readonly group: number;
  readonly constrain: (group: RowGroup) => Constraint;
  /** `codes` (size, cols) in the order of the rows. */
  readonly pack: (codes: Uint8Array, layout: 'nbits' | 'linear') => StoredBlocks;
}

/**
 * The grid of a block is the one that rounding to the nearest would give the best values that its rows can have when they are reached.
 * The order keeps the rows of a block together.
 */
export function followingGrid(options: BlockGridOptions): BlockGrid {
  const { scheme: { bits, blockSize }, size, cols, kernels, order } = options;
  const grids = emptyGrids(options);
  const blocks = Math.ceil(size / blockSize);
  return {
    group: Math.min(blockSize, size),
    constrain({ start, end, best }) {
      const rows = end - start;
      const turned = new Float32Array(best.length);
      kernels.transpose2d(raw(best), raw(turned), rows, cols, 4);
      const found = nearestGrids(turned, cols, rows, options);
      const block = Math.floor((order?.[start] ?? start) / blockSize);
      for (let c = 0; c < cols; c++) {
        grids.scales[c * blocks + block] = found.scales[c]!;
        grids.zeros[c * blocks + block] = found.zeros[c]!;
      }
      return { grid: { scales: found.scales, zeroPoints: Float32Array.from(found.zeros), highest: 2 ** bits - 1 } };
    },
    pack: packer(grids, options),
  };
}

/**
 * The grids of the original weights (cols, size), known before any is rounded, so that rows may come in any order. (What the code of
 * GPTQ's authors calls static groups.)
 */
export function fixedGrid(weights: Float32Array, options: BlockGridOptions): BlockGrid {
  const { scheme: { bits, blockSize }, size, cols, kernels, order } = options;
  const grids = nearestGrids(weights, cols, size, options);
  const blocks = Math.ceil(size / blockSize);
  // (blocks, cols): a row of the matrix takes a row of these.
  const scales = new Float32Array(grids.scales.length);
  kernels.transpose2d(raw(grids.scales), raw(scales), cols, blocks, 4);
  const zeros = new Uint8Array(grids.zeros.length);
  kernels.transpose2d(grids.zeros, zeros, cols, blocks, 1);
  return {
    group: Math.min(ROWS, size),
    constrain({ start, end }) {
      const grid = { scales: new Float32Array((end - start) * cols), zeroPoints: new Float32Array((end - start) * cols), highest: 2 ** bits - 1 };
      for (let row = start; row < end; row++) {
        const block = Math.floor((order?.[row] ?? row) / blockSize);
        grid.scales.set(scales.subarray(block * cols, (block + 1) * cols), (row - start) * cols);
        grid.zeroPoints.set(zeros.subarray(block * cols, (block + 1) * cols), (row - start) * cols);
      }
      return { grid };
    },
    pack: packer(grids, options),
  };
}

/** Rows that are worked on together when nothing ties them to blocks. */
const ROWS = 128;

/** The grids of all blocks, to be filled as they are found. */
function emptyGrids({ scheme: { bits, blockSize }, size, cols }: BlockGridOptions): BlockGrids {
  const count = cols * Math.ceil(size / blockSize);
  return { scales: new Float32Array(count), zeros: new Uint8Array(count).fill(2 ** (bits - 1)) };
}

function packer(grids: BlockGrids, { scheme, size, cols, kernels, order }: BlockGridOptions): BlockGrid['pack'] {
  return (codes, layout) => {
    const inOrder = order ? new Uint8Array(codes.length) : codes;
    if (order) for (let i = 0; i < size; i++) inOrder.set(codes.subarray(i * cols, (i + 1) * cols), order[i]! * cols);
    const turned = new Uint8Array(codes.length);
    kernels.transpose2d(inOrder, turned, size, cols, 1);
    return storeCodes(turned, grids, size, scheme, layout, kernels);
  };
}

function raw({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
