/** The `Engine` of core inside a session worker: for jobs, whose tensors are used where they lie. */
import { type Engine, type EngineOptions, type Executor, type Feeds, type Fetches, type RunOptions, type ValueInfo, tensorType } from '@penjing/core';
import { checkFeeds, checkOutputs } from '../engine/feeds.js';
import { storeModel, weightFacts } from '../engine/model-source.js';
import { type SessionOptions, sessionSettings } from '../engine/settings.js';
import { fromWire } from '../engine/wire.js';
import type { SessionTable } from './session-table.js';
import { fromOrt, toOrtView } from './tensors.js';

/** Models up to this many bytes are handed over in memory, as in the engine of the calling thread. */
const MEMORY_LIMIT = 64 * 2 ** 20;

export function localEngine(sessions: SessionTable, defaults: SessionOptions = {}): Engine {
  return {
    name: 'onnxruntime-node (this thread)',
    async load(model, options: EngineOptions = {}): Promise<Executor> {
      const facts = weightFacts(model);
      const { signal, ...settings } = options;
      const stored = await storeModel(model, facts.bytes <= MEMORY_LIMIT, { ...(signal && { signal }) });
      try {
        const byPath = stored.source.kind === 'file';
        const info = await sessions.open(stored.source, sessionSettings({ ...defaults, ...settings }, { ...facts, byPath }));
        const typed = (values: typeof info.inputs): ValueInfo[] => values.map(({ name, dtype, shape }) => ({ name, type: tensorType(dtype, shape) }));
        return localExecutor(sessions, info.handle, typed(info.inputs), typed(info.outputs), stored.cleanup);
      } catch (error) {
        await stored.cleanup();
        throw error;
      }
    },
  };
}

function localExecutor(sessions: SessionTable, handle: number, inputs: readonly ValueInfo[], outputs: readonly ValueInfo[], cleanup: () => Promise<void>): Executor {
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
