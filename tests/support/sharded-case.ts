/** A model against its shards, on the engine of this thread. */
import type { Executor, Feeds, Fetches, Model } from '@penjing/core';
import { openShardsInTurn, shardModel, type ShardedModel, type ShardOptions } from '@penjing/parallel';
import { ortEngine } from '@penjing/runtime';
import { relativeDifference } from '../../packages/parallel/src/testing/relative-difference.js';

export interface ShardedCase {
  readonly sharded: ShardedModel;
  readonly difference: number;
  readonly outputs: Fetches;
}

const engine = ortEngine({ threads: 1, thread: 'calling' });

/** Everything that can be cut is cut, unless the options have a threshold. */
export async function shardedCases(model: Model, feeds: Feeds, cases: readonly ShardOptions[]): Promise<ShardedCase[]> {
  const whole = await outputsOf(await engine.load(model), feeds);
  const found: ShardedCase[] = [];
  for (const options of cases) {
    const sharded = shardModel(model, { threshold: 0, ...options });
    const outputs = await outputsOf(await openShardsInTurn(sharded, engine), feeds);
    found.push({ sharded, difference: relativeDifference(outputs, whole), outputs });
  }
  return found;
}

async function outputsOf(executor: Executor, feeds: Feeds): Promise<Fetches> {
  await using open = executor;
  return await open.run(feeds);
}

/** Bytes of different weights that the largest shard holds, as a share of all: what two segments read is counted once. */
export function largestShare(model: Model, { segments }: ShardedModel): number {
  const bytesOf = (models: readonly Model[]): number => [...new Map(models.flatMap(({ graph }) => [...graph.initializers])).values()].reduce((sum, { tensor }) => sum + (tensor?.byteLength ?? 0), 0);
  return Math.max(...segments.map(bytesOf)) / bytesOf([model]);
}

/** Values that cross between shards, by kind. */
export function exchanges({ program }: ShardedModel, kind: 'reduce' | 'gather'): string[] {
  return program.flatMap((step) => (step.kind === kind ? step.values.map(({ to }) => to) : []));
}
