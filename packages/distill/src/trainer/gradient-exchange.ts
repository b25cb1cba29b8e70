/** The port through which processes that train the same weights meet: what each has computed goes in, what all have comes out. */

/** JSON. */
export type Said = string | number | boolean | null | readonly Said[] | { readonly [name: string]: Said };

export interface Round {
  /** One after the other, of the same sizes on all ranks; they are given away. */
  readonly vectors: readonly Float32Array[];
  /** Their mean over all ranks, added in the order of ranks; or those of rank 0, which the others take over. */
  readonly take: 'mean' | 'first';
  /** What this rank says beside. */
  readonly said: Said;
}

export interface RoundResult {
  readonly vectors: readonly Float32Array[];
  /** By rank. */
  readonly said: readonly Said[];
}

/**
 * Every rank calls `round` as often as the others, and all get the same bits. `@penjing/parallel/grpc` has one over the network. A round that cannot be ended, because a rank is lost or asks for something else, throws
 * on every rank.
 */
export interface GradientExchange {
  /** From 0 to `world` - 1. */
  readonly rank: number;
  readonly world: number;
  round(round: Round): Promise<RoundResult>;
}
