/** What processes that train the same weights have in common: vectors go in on every rank, and their mean comes out on every rank. */

interface Shared<Said> {
  /** Of the same sizes on all ranks; they are given away. */
  readonly vectors: readonly Float32Array[];
  /** JSON. */
  readonly said: Said;
}

/** The mean of parts of the same length, one of each rank, in the order of ranks; they are given away. */
export type Mean = (parts: readonly Float32Array[]) => Float32Array | Promise<Float32Array>;

/** Out come means, which rank 0 has computed by `mean`, in a thread of its choice: that of the sockets is none for it; or what rank 0 has. */
export type TrainingRound<Said> = Shared<Said> & ({ readonly take: 'mean'; readonly mean: Mean } | { readonly take: 'first' });

/** The `GradientExchange` of `@penjing/distill`, over the network. */
export interface TrainingExchange extends AsyncDisposable {
  readonly rank: number;
  readonly world: number;
  /**
   * Throws `E_PEER` on every rank when one is lost or asks for something else, `E_CHECKSUM` for what was damaged on its way: then, and ever after.
   */
  round<Said>(round: TrainingRound<Said>): Promise<{ readonly vectors: readonly Float32Array[]; readonly said: readonly Said[] }>;
  /** Tells the others why this rank gives up; the first reason counts. */
  fail(error: unknown): void;
}

/** What a rank opens a round with. */
export interface Opening {
  readonly length: number;
  readonly take: 'mean' | 'first';
  readonly said: unknown;
}
