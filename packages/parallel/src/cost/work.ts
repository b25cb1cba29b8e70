/** What an operator does, as far as its speed goes: a kind of work, an amount, and the bytes it touches. */

/** Kinds that run at different rates on one device. */
export type WorkKind =
  /** Matrix products with weights, in floating point. */
  | 'product'
  /** Matrix products of activations: attention. */
  | 'attention'
  /** The same with the softmax between, as one operator. */
  | 'fusedAttention'
  | 'convolution'
  /** Convolutions with one channel per group: bound by loads, not by products. */
  | 'depthwise'
  /** Products with weights of 2 to 8 bits that are unpacked on the way (MatMulNBits). */
  | 'packed'
  /** Products of 8-bit integers. */
  | 'integer'
  /** One or two operations per element. */
  | 'elementwise'
  /** Exponentials, error functions, divisions and what is made of them, per element. */
  | 'transcendental';

export const workKinds = ['product', 'attention', 'fusedAttention', 'convolution', 'depthwise', 'packed', 'integer', 'elementwise', 'transcendental'] as const satisfies readonly WorkKind[];

export interface Work {
  readonly kind: WorkKind;
  /** Multiplications and additions. */
  readonly flops: number;
  /** What the rate depends on: rows of a product (with few, vector units are not filled), length of the sums of a convolution. */
  readonly rows?: number;
  /** Share of its weights that it reads; all when absent. */
  readonly read?: number;
}
