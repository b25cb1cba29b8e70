/** The segments of one shard, loaded. */
import type { Engine, EngineOptions, Executor, Model } from '@penjing/core';
import { openRevived } from '../../node/revived.js';

/** All of them, or none: what was opened before one failed is closed. One whose worker dies is opened again. */
export async function openSegments(segments: readonly Model[], engine: Engine, { signal, ...options }: EngineOptions): Promise<readonly Executor[]> {
  const executors: Executor[] = [];
  try {
    for (const segment of segments) executors.push(await openRevived((opening) => engine.load(segment, { ...options, ...(opening && { signal: opening }) }), signal));
    return executors;
  } catch (error) {
    await closeSegments(executors);
    throw error;
  }
}

export async function closeSegments(executors: readonly Executor[]): Promise<void> {
  for (const executor of executors) await executor[Symbol.asyncDispose]();
}
