/** Scales and zero points of one matrix, block by block as its rows are reached, and its codes in the form in which they are stored. */
import type { Constraint, RowGroup } from '@penjing/core/linalg';
import type { GridFit, Kernels } from '@penjing/kernels';
import { storedBits, type WeightScheme } from '../scheme.js';
import { packCodes, type StoredBlocks } from '../spill-blocks.js';

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
  /** The grid that rounding to the nearest would give the best values of a block. */
  readonly constrain: (group: RowGroup) => Constraint;
  /** `codes` (size, cols) in the order of the rows. */
  readonly pack: (codes: Uint8Array, layout: 'nbits' | 'linear') => StoredBlocks;
}

export function blockGrid({ scheme, fit, size, cols, kernels, order }: BlockGridOptions): BlockGrid {
  const { bits: gridBits, blockSize, symmetric } = scheme;
  const bits = storedBits(scheme);
  const blocks = Math.ceil(size / blockSize);
  const scales = new Float32Array(cols * blocks);
  const middle = 2 ** (bits - 1);
  /** Stored codes less codes from 0: symmetric grids of 3 bits lie in the middle of 4. */
  const base = symmetric ? middle - 2 ** (gridBits - 1) : 0;
  const zeros = new Uint8Array(cols * blocks).fill(middle);
  const blockScales = new Float32Array(cols);
  const blockZeros = new Uint8Array(cols);
  const perBlock = (blockSize * bits) / 8;

  return {
    constrain({ start, end, best }) {
      const rows = end - start;
      const turned = new Float32Array(best.length);
      kernels.transpose2d(raw(best), raw(turned), rows, cols, 4);
      kernels.quantizeBlocks({
        src: turned, srcDtype: 'float32', rows: cols, cols: rows, bits, gridBits, fit, blockSize, symmetric, layout: 'nbits', stats: false,
        values: new Uint8Array(cols * perBlock), scales: blockScales, scaleDtype: 'float32', ...(!symmetric && { zeroPoints: blockZeros }),
      });
      const block = Math.floor((order?.[start] ?? start) / blockSize);
      for (let c = 0; c < cols; c++) {
        scales[c * blocks + block] = blockScales[c]!;
        if (!symmetric) zeros[c * blocks + block] = blockZeros[c]! & (2 ** bits - 1);
      }
      const zeroPoints = Float32Array.from({ length: cols }, (_, c) => zeros[c * blocks + block]! - base);
      return { grid: { scales: blockScales.slice(), zeroPoints, highest: 2 ** gridBits - 1 } };
    },

    pack(codes, layout) {
      const linear = layout === 'linear';
      const shift = base - (linear && symmetric ? middle : 0);
      const stored = shift === 0 ? codes : codes.map((code) => code + shift);
      const padded = linear ? size : blocks * blockSize;
      const inOrder = new Uint8Array(padded * cols);
      for (let i = 0; i < size; i++) inOrder.set(stored.subarray(i * cols, (i + 1) * cols), (order?.[i] ?? i) * cols);
      const turned = new Uint8Array(padded * cols);
      kernels.transpose2d(inOrder, turned, padded, cols, 1);
      const pack = (one: Uint8Array): Uint8Array => packCodes(bits, one, kernels);
      return { values: pack(turned), scales, zeroPoints: symmetric ? undefined : pack(linear ? zeros : paddedRows(zeros, cols, blocks, 8 / bits)) };
    },
  };
}

/** Rows of zero points, each filled up to whole bytes of `perByte`. */
function paddedRows(zeros: Uint8Array, rows: number, blocks: number, perByte: number): Uint8Array {
  const width = Math.ceil(blocks / perByte) * perByte;
  if (width === blocks) return zeros;
  const out = new Uint8Array(rows * width);
  for (let r = 0; r < rows; r++) out.set(zeros.subarray(r * blocks, (r + 1) * blocks), r * width);
  return out;
}

function raw({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
