/** Replicas of a model as one `Executor`: a batch is shared out among those that are free, requests that come together go to different ones. */
import { type Executor, PenjingError } from '@penjing/core';
import { type BatchAxes, batchRows, shareRows } from '../split/batch.js';
import { runPieces } from './pieces.js';
import { rerunOnce } from './rerun.js';
import { Slots } from './slots.js';

export interface ReplicasOptions {
  /** Executors of the same model. */
  readonly replicas: readonly Executor[];
  /** Where the batch is; without, requests go whole to one replica each. */
  readonly batch?: BatchAxes | undefined;
  /** Shares begin at multiples of this many rows; 1 when absent. */
  readonly grain?: number;
}

/** In each replica one piece runs and one waits. */
const PER_REPLICA = 2;

/**
 * Pieces of a request that comes while so many are under way: one for each replica that has the least. All of them get one to run and one to wait, so that they end together and none waits for the calling
 * thread; whole requests would leave one idle at the end of each row of them. When all are full, cutting would only add pieces to wait for.
 */
function piecesFor(replicas: number, pieces: number): number {
  return pieces < PER_REPLICA * replicas ? replicas - (pieces % replicas) : 1;
}

/** Disposing disposes of the replicas. */
export function openReplicas({ replicas, batch, grain = 1 }: ReplicasOptions): Executor {
  const [first] = replicas;
  if (!first) throw new PenjingError('E_OPTION', 'there are no replicas');
  const slots = new Slots(PER_REPLICA * replicas.length);
  const busy = replicas.map((replica) => ({ replica, rows: 0 }));
  let pieces = 0;
  return {
    inputs: first.inputs,
    outputs: first.outputs,
    async run(feeds, options = {}) {
      const rows = batch ? batchRows(feeds, batch) : 1;
      const ranges = shareRows(rows, batch ? piecesFor(replicas.length, pieces) : 1, grain);
      pieces += ranges.length;
      try {
        return await runPieces(feeds, options, batch, ranges, async (piece, each, weight) => {
          const free = await slots.take(each.signal);
          const chosen = busy.reduce((least, other) => (other.rows < least.rows ? other : least));
          chosen.rows += weight;
          try {
            const once = (): ReturnType<Executor['run']> => chosen.replica.run(piece, each);
            return await ((each.transfer ?? []).length > 0 ? once() : rerunOnce(once, each.signal));
          } finally {
            chosen.rows -= weight;
            free();
          }
        });
      } finally {
        pieces -= ranges.length;
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(replicas.map((replica) => replica[Symbol.asyncDispose]()));
    },
  };
}
