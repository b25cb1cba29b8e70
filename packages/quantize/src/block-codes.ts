/** Grids of the blocks of a matrix, codes on them, and both in the form in which they are stored. Matrices are (cols, size): one row per output. */
import type { GridFit, Kernels } from '@penjing/kernels';
import { storedBits, type WeightScheme } from './scheme.js';

export interface BlockGrids {
  /** (cols, blocks). */
  readonly scales: Float32Array;
  /** (cols, blocks): the code that stands for 0, codes counted from 0. */
  readonly zeros: Uint8Array;
}

/** Codes, scales and zero points of a matrix (cols, size), one row per output. */
export interface StoredBlocks {
  /** `nbits`: (cols, blocks, blockSize·bits/8). `linear`: (cols, size) in two's complement when symmetric, packed without padding of rows. */
  readonly values: Uint8Array;
  /** (cols, blocks). */
  readonly scales: Float32Array;
  /** Absent when symmetric. `nbits`: (cols, ⌈blocks·bits/8⌉). `linear`: (cols, blocks), packed as the values. */
  readonly zeroPoints: Uint8Array | undefined;
}

interface GridOptions {
  readonly scheme: WeightScheme;
  readonly fit: GridFit;
  readonly kernels: Kernels;
}

/** The grids that rounding to the nearest gives. */
export function nearestGrids(weights: Float32Array, cols: number, size: number, { scheme, fit, kernels }: GridOptions): BlockGrids {
  const { bits: gridBits, blockSize, symmetric } = scheme;
  const count = cols * Math.ceil(size / blockSize);
  const scales = new Float32Array(count);
  const zeros = new Uint8Array(count).fill(2 ** (gridBits - 1));
  kernels.quantizeBlocks({
    // the linear layout has zero points of one byte
    src: weights, srcDtype: 'float32', rows: cols, cols: size, bits: storedBits(scheme), gridBits, fit, blockSize, symmetric, layout: 'linear', stats: false,
    values: new Uint8Array(cols * size), scales, scaleDtype: 'float32', ...(!symmetric && { zeroPoints: zeros }),
  });
  return { scales, zeros };
}

/** Codes from 0 as `layout` has them; padding is 0, which is never read. */
export function storeCodes(codes: Uint8Array, { scales, zeros }: BlockGrids, size: number, scheme: WeightScheme, layout: 'nbits' | 'linear', kernels: Kernels): StoredBlocks {
  const { bits: gridBits, blockSize, symmetric } = scheme;
  const bits = storedBits(scheme);
  const blocks = Math.ceil(size / blockSize);
  const linear = layout === 'linear';
  const middle = 2 ** (bits - 1);
  // Symmetric grids of 3 bits lie in the middle of 4; linear codes are signed when symmetric.
  const shift = symmetric ? (linear ? 0 : middle) - 2 ** (gridBits - 1) : 0;
  const shifted = shift === 0 ? codes : codes.map((code) => code + shift);
  const pack = (one: Uint8Array): Uint8Array => packCodes(bits, one, kernels);
  return {
    values: pack(linear ? shifted : paddedRows(shifted, size, blocks * blockSize)),
    scales,
    zeroPoints: symmetric ? undefined : pack(linear ? zeros : paddedRows(zeros, blocks, Math.ceil((blocks * bits) / 8) * (8 / bits))),
  };
}

/** Codes of one byte each, packed. */
function packCodes(bits: 2 | 4 | 8, codes: Uint8Array, kernels: Kernels): Uint8Array {
  if (bits === 8) return codes;
  const out = new Uint8Array(Math.ceil((codes.length * bits) / 8));
  kernels.pack(bits, codes, out);
  return out;
}

/** Rows of `length` elements, each filled up with zeros to `padded`. */
function paddedRows(rows: Uint8Array, length: number, padded: number): Uint8Array {
  if (padded === length) return rows;
  const count = rows.length / length;
  const out = new Uint8Array(count * padded);
  for (let r = 0; r < count; r++) out.set(rows.subarray(r * length, (r + 1) * length), r * padded);
  return out;
}
