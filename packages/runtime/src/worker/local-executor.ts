/** A session of this thread as core's `Executor`: tensors are used where they lie. */
import { type Executor, type Feeds, type Fetches, type RunOptions, type ValueInfo, tensorType } from '@penjing/core';
import { checkFeeds, checkOutputs } from '../engine/feeds.js';
import { fromWire } from '../engine/wire.js';
import type { SessionTable } from './session-table.js';
import { fromOrt, toOrtView } from './tensors.js';
import type { SessionSettings, SessionSource } from './wire-types.js';

/** Opens a session; disposing of the executor closes it, and then cleans up behind it. */
export async function openExecutor(sessions: SessionTable, source: SessionSource, settings: SessionSettings, cleanup: () => Promise<void> = async () => {}): Promise<Executor> {
  const { handle, inputs, outputs } = await sessions.open(source, settings);
  const typed = (values: typeof inputs): ValueInfo[] => values.map(({ name, dtype, shape }) => ({ name, type: tensorType(dtype, shape) }));
  return executorOf(sessions, handle, typed(inputs), typed(outputs), cleanup);
}

function executorOf(sessions: SessionTable, handle: number, inputs: readonly ValueInfo[], outputs: readonly ValueInfo[], cleanup: () => Promise<void>): Executor {
  return {
    inputs,
    outputs,
    async run(feeds: Feeds, { outputs: wanted = outputs.map(({ name }) => name), signal }: RunOptions = {}): Promise<Fetches> {
      signal?.throwIfAborted();
      checkFeeds(inputs, feeds);
      checkOutputs(outputs, wanted);
      const tensors = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toOrtView(sessions.api, tensor)]));
      const fetched = await sessions.run(handle, tensors, wanted);
      return Object.fromEntries(wanted.map((name) => [name, fromWire(fromOrt(name, fetched[name]!, []))]));
    },
    async [Symbol.asyncDispose]() {
      await sessions.close(handle);
      await cleanup();
    },
  };
}
