/** Unpacking one block: what every format has to say about itself. */

/** Where the parts of a block go; sized for the largest, 256 weights in sub-blocks of 16. */
export interface Unpacked {
  /** Signed code of every weight. */
  readonly codes: Int8Array;
  /** Per sub-block. */
  readonly scales: Float32Array;
  /** Per sub-block; only formats with minimums write it. */
  readonly mins: Float32Array;
}

/** Reads the block that starts at `at`. */
export type Unpack = (src: Uint8Array, at: number, out: Unpacked) => void;

export function unpacked(): Unpacked {
  return { codes: new Int8Array(256), scales: new Float32Array(16), mins: new Float32Array(16) };
}
