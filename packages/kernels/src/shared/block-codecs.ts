/** The block formats of GGUF that the kernels decode: sizes, and the form in which MatMulNBits takes them without rounding. */

/** Every block is a list of small integers with a scale, and in some formats a minimum, per sub-block: w = scale · code − min. */
export interface BlockCodec {
  /** Weights per block. */
  readonly blockSize: number;
  /** Bytes per block. */
  readonly blockBytes: number;
  /** Weights that share a scale; also `block_size` of MatMulNBits. */
  readonly subSize: number;
  /** Of the codes in MatMulNBits: 4 where they fit. */
  readonly bits: 4 | 8;
  /**
   * Added to a code to make it unsigned. Where it is not 2^(bits-1), the zero point of MatMulNBits, the difference goes
   * into the correction; it is chosen so that codes lie around that zero point.
   */
  readonly offset: number;
  /** Has minimums, so that w = scale · (stored − zero point) + correction, one correction per sub-block. */
  readonly corrected: boolean;
}

function codec(blockSize: number, blockBytes: number, subSize: number, bits: 4 | 8, offset = 2 ** (bits - 1), corrected = false): BlockCodec {
  return { blockSize, blockBytes, subSize, bits, offset, corrected };
}

/** By the name that ggml gives the format. */
export const blockCodecs = {
  Q4_0: codec(32, 18, 32, 4),
  Q4_1: codec(32, 20, 32, 4, 0, true),
  Q5_0: codec(32, 22, 32, 8),
  Q5_1: codec(32, 24, 32, 8, 112, true),
  Q8_0: codec(32, 34, 32, 8),
  Q2_K: codec(256, 84, 16, 4, 7, true),
  Q3_K: codec(256, 110, 16, 4),
  Q4_K: codec(256, 144, 32, 4, 0, true),
  Q5_K: codec(256, 176, 32, 8, 112, true),
  Q6_K: codec(256, 210, 16, 8),
  Q8_K: codec(256, 292, 256, 8),
  IQ1_S: codec(256, 50, 32, 8),
  IQ1_M: codec(256, 56, 16, 8),
  IQ2_XXS: codec(256, 66, 32, 8),
  IQ2_XS: codec(256, 74, 16, 8),
  IQ2_S: codec(256, 82, 16, 8),
  IQ3_XXS: codec(256, 98, 32, 8),
  IQ3_S: codec(256, 110, 32, 8),
  IQ4_NL: codec(32, 18, 32, 8),
  IQ4_XS: codec(256, 136, 32, 8),
  TQ1_0: codec(256, 54, 256, 4),
  TQ2_0: codec(256, 66, 256, 4),
  MXFP4: codec(32, 17, 32, 8),
  NVFP4: codec(64, 36, 16, 8),
  Q1_0: codec(128, 18, 128, 4),
} as const satisfies Readonly<Record<string, BlockCodec>>;

export type BlockCodecName = keyof typeof blockCodecs;
