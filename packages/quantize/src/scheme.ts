/** How weights are rounded: bits, blocks and symmetry as data, checked once. */
import { PenjingError } from '@penjing/core';

export interface WeightScheme {
  /** Of the grid: a grid of 3 bits is stored in codes of 4. */
  readonly bits: 2 | 3 | 4 | 8;
  /** Weights that share one scale, along the dimension that is summed over. */
  readonly blockSize: 16 | 32 | 64 | 128 | 256;
  /** Symmetric: no zero points. Asymmetric: one more integer per block, usually a smaller error. */
  readonly symmetric: boolean;
}

const BITS = [2, 3, 4, 8];
// MatMulNBits on the CPU refuses other sizes; 512 has been seen to give zeros without an error.
const BLOCK_SIZES = [16, 32, 64, 128, 256];

/** Fills defaults (4 bits, block 32, symmetric); throws `E_OPTION` for a value that no kernel can run. */
export function weightScheme(options: {
  readonly bits?: number | undefined;
  readonly blockSize?: number | undefined;
  readonly symmetric?: boolean | undefined;
}): WeightScheme {
  const { bits = 4, blockSize = 32, symmetric = true } = options;
  if (!BITS.includes(bits)) {
    throw new PenjingError('E_OPTION', `bits must be ${BITS.join(', ')}, not ${bits}`, {
      hint: 'ONNX Runtime runs codes of 2, 4 and 8 bits; a grid of 3 bits is stored in 4.',
    });
  }
  if (!BLOCK_SIZES.includes(blockSize)) {
    throw new PenjingError('E_OPTION', `the block size must be ${BLOCK_SIZES.join(', ')}, not ${blockSize}`);
  }
  return { bits: bits as WeightScheme['bits'], blockSize: blockSize as WeightScheme['blockSize'], symmetric };
}

/** Bits that one code takes in the file. */
export function storedBits({ bits }: Pick<WeightScheme, 'bits'>): 2 | 4 | 8 {
  return bits === 3 ? 4 : bits;
}

/** `int4 block 32 symmetric`. */
export function describeScheme({ bits, blockSize, symmetric }: WeightScheme): string {
  return `int${bits} block ${blockSize} ${symmetric ? 'symmetric' : 'asymmetric'}`;
}

/**
 * Why a scheme is slow on ONNX Runtime's CPU kernels, or undefined when it is fast. Measured with K = N = 4096, one
 * row: 8 bits take 0.12 ms with int8 activations (level 4) and 27 ms otherwise; 2 bits are fast only in blocks of
 * 32, 64 or 128 with level 4.
 */
export function slowOnCpu({ bits, blockSize }: WeightScheme, accuracyLevel: number): string | undefined {
  if (bits === 8 && accuracyLevel !== 4) return '8-bit weights are fast on the CPU only with accuracy level 4';
  if (bits === 2 && accuracyLevel !== 4) return '2-bit weights are fast on the CPU only with accuracy level 4';
  if (bits === 2 && (blockSize === 16 || blockSize === 256)) {
    return `2-bit weights in blocks of ${blockSize} have no fast CPU kernel; use 32, 64 or 128`;
  }
  return undefined;
}
