/** Scales and zero points of one matrix, block by block as its rows are reached, and its codes in the form of MatMulNBits. */
import type { Constraint, RowGroup } from '@penjing/core/linalg';
import type { Kernels } from '@penjing/kernels';
import type { WeightScheme } from '../scheme.js';

export interface BlockGridOptions {
  readonly scheme: WeightScheme;
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
  readonly pack: (codes: Uint8Array) => { readonly values: Uint8Array; readonly scales: Float32Array; readonly zeroPoints: Uint8Array | undefined };
}

export function blockGrid({ scheme, size, cols, kernels, order }: BlockGridOptions): BlockGrid {
  const { bits, blockSize, symmetric } = scheme;
  const blocks = Math.ceil(size / blockSize);
  const scales = new Float32Array(cols * blocks);
  const zeros = new Uint8Array(cols * blocks).fill(2 ** (bits - 1));
  const blockScales = new Float32Array(cols);
  const blockZeros = new Uint8Array(cols);
  const perBlock = (blockSize * bits) / 8;

  return {
    constrain({ start, end, best }) {
      const rows = end - start;
      const turned = new Float32Array(best.length);
      kernels.transpose2d(raw(best), raw(turned), rows, cols, 4);
      kernels.quantizeBlocks({
        src: turned, srcDtype: 'float32', rows: cols, cols: rows, bits, blockSize, symmetric, layout: 'nbits', stats: false,
        values: new Uint8Array(cols * perBlock), scales: blockScales, scaleDtype: 'float32', ...(!symmetric && { zeroPoints: blockZeros }),
      });
      const block = Math.floor((order?.[start] ?? start) / blockSize);
      for (let c = 0; c < cols; c++) {
        scales[c * blocks + block] = blockScales[c]!;
        if (!symmetric) zeros[c * blocks + block] = blockZeros[c]! & (2 ** bits - 1);
      }
      const zeroPoints = Float32Array.from({ length: cols }, (_, c) => zeros[c * blocks + block]!);
      return { grid: { scales: blockScales.slice(), zeroPoints, highest: 2 ** bits - 1 } };
    },

    pack(codes) {
      const padded = blocks * blockSize;
      const inOrder = new Uint8Array(padded * cols);
      for (let i = 0; i < size; i++) inOrder.set(codes.subarray(i * cols, (i + 1) * cols), (order?.[i] ?? i) * cols);
      const turned = new Uint8Array(padded * cols);
      kernels.transpose2d(inOrder, turned, padded, cols, 1);
      const values = bits === 8 ? turned : new Uint8Array(cols * blocks * perBlock);
      if (bits !== 8) kernels.pack(bits, turned, values);
      return { values, scales, zeroPoints: symmetric ? undefined : packZeros(zeros, cols, blocks, bits) };
    },
  };
}

/** Rows of zero points, each filled up to whole bytes. */
function packZeros(zeros: Uint8Array, cols: number, blocks: number, bits: number): Uint8Array {
  const perByte = 8 / bits;
  const width = Math.ceil(blocks / perByte);
  const packed = new Uint8Array(cols * width);
  for (let c = 0; c < cols; c++) for (let b = 0; b < blocks; b++) packed[c * width + Math.floor(b / perByte)]! |= zeros[c * blocks + b]! << ((b % perByte) * bits);
  return packed;
}

function raw({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
