/** The port through which processes that train the same weights meet: what each has computed goes in, what all have comes out. */

/** JSON. */
export type Said = string | number | boolean | null | readonly Said[] | { readonly [name: string]: Said };

interface Shared {
  /** One after the other, of the same sizes on all ranks; they are given away. */
  readonly vectors: readonly Float32Array[];
  /** What this rank says beside. */
  readonly said: Said;
}

/** The mean of parts of the same length, one of each rank, in the order of ranks; they are given away. */
export type Mean = (parts: readonly Float32Array[]) => Float32Array | Promise<Float32Array>;

/** What comes out is the mean over all ranks, which one of them has computed by `mean`: in the thread that waits for the round, not in that of the sockets. Or it is what rank 0 has, which the others take over. */
export type Round = Shared & ({ readonly take: 'mean'; readonly mean: Mean } | { readonly take: 'first' });

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
  /** Tells the others why this rank gives up: rounds that wait throw at once, and so does every later one. The first reason counts. */
  fail(error: unknown): void;
}
