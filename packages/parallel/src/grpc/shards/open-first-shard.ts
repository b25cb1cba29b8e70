/** A model in shards on several machines as one `Executor`, in the process of its first shard. */
import { type DenseTensor, type Engine, type Executor, type Feeds, type Fetches, PenjingError, type RunOptions, type StringTensor } from '@penjing/core';
import { partOf } from '../../tensor/pieces.js';
import { runShard } from '../../tensor/shard-program.js';
import type { ShardedModel, ShardedPort } from '../../tensor/sharded-model.js';
import { checkNames, infosOf } from '../../tensor/sharded-ports.js';
import { Turns } from '../../jobs/turns.js';
import { closeSegments, openSegments } from './segments.js';
import type { ShardHub } from './shard-hub.js';

export interface FirstShardOptions {
  readonly sharded: ShardedModel;
  readonly hub: ShardHub;
  readonly engine: Engine;
  /** Of each segment. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
}

/**
 * Loads the segments of the first shard. Runs follow each other. Throws `E_UNAVAILABLE` while a shard is missing, and when one is lost in a run: all shards leave that run, and the next one works when
 * all are there again. What another shard throws is thrown with its number.
 */
export async function openFirstShard({ sharded, hub, engine, threads, signal }: FirstShardOptions): Promise<Executor> {
  const executors = await openSegments(sharded.segments[0]!, engine, { ...(threads !== undefined && { threads }), ...(signal && { signal }) });
  const { program, inputs, outputs } = sharded;
  const turns = new Turns(1);
  let closed: Promise<void> | undefined;
  const checkOpen = (): void => {
    if (closed) throw new PenjingError('E_DISPOSED', 'the model was disposed of', { hint: 'Open it again.' });
  };
  const feedOf = (feeds: Feeds, { name, cut }: ShardedPort, shard: number): DenseTensor | StringTensor => {
    const tensor = feeds[name]!;
    return cut && tensor.kind === 'dense' ? partOf(tensor, cut, shard) : tensor;
  };

  async function runOnce(feeds: Feeds, wanted: readonly string[], signal: AbortSignal | undefined): Promise<Fetches> {
    const others = Array.from({ length: sharded.shards - 1 }, (_, i) => inputs.map((port) => feedOf(feeds, port, i + 1)));
    const run = hub.begin(others, wanted);
    const leave = (): void => run.fail(signal?.reason);
    signal?.addEventListener('abort', leave, { once: true });
    try {
      const own = Object.fromEntries(inputs.map((port) => [port.value, feedOf(feeds, port, 0)]));
      return await runShard({ shard: 0, program, outputs, executors, exchange: run, check: () => run.check() }, own, wanted);
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', leave);
      hub.leave(run);
    }
  }

  async function close(): Promise<void> {
    await turns.take();
    await closeSegments(executors);
    turns.give();
  }

  return {
    ...infosOf(sharded),
    async run(feeds, { outputs: wanted = outputs.map(({ name }) => name), signal: given }: RunOptions = {}) {
      checkOpen();
      checkNames(sharded, feeds, wanted);
      await turns.take(given);
      try {
        checkOpen();
        return await runOnce(feeds, wanted, given);
      } finally {
        turns.give();
      }
    },
    [Symbol.asyncDispose]: () => (closed ??= close()),
  };
}
