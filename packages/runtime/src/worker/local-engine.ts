/** The `Engine` of core inside a session worker: for jobs, whose tensors are used where they lie. */
import { type Engine, type EngineOptions, type Executor, type Feeds, type Fetches, type Model, type RunOptions, type TaskOptions, type ValueInfo, tensorType } from '@penjing/core';
import { checkFeeds, checkOutputs } from '../engine/feeds.js';
import { storeModel, weightFacts } from '../engine/model-source.js';
import { type SessionOptions, type WeightFacts, sessionSettings } from '../engine/settings.js';
import { fromWire } from '../engine/wire.js';
import type { SessionTable } from './session-table.js';
import { fromOrt, toOrtView } from './tensors.js';
import type { SessionSource } from './wire-types.js';

/** Models up to this many bytes are handed over in memory, as in the engine of the calling thread. */
const MEMORY_LIMIT = 64 * 2 ** 20;

export function localEngine(sessions: SessionTable, defaults: SessionOptions = {}): Engine {
  return {
    name: 'onnxruntime-node (this thread)',
    async load(model, { signal, ...options }: EngineOptions = {}): Promise<Executor> {
      const stored = await storeForJobs(model, signal ? { signal } : {});
      try {
        return await loadStored(sessions, stored.model, { ...defaults, ...options }, stored.cleanup);
      } catch (error) {
        await stored.cleanup();
        throw error;
      }
    },
  };
}

/** A model that any session worker can load, as plain data. */
export interface StoredForJobs {
  readonly source: SessionSource;
  readonly weights: Omit<WeightFacts, 'byPath'>;
}

/** Serializes a model, in memory when it is small. */
export async function storeForJobs(model: Model, options: Pick<TaskOptions, 'signal'>): Promise<{ model: StoredForJobs; cleanup: () => Promise<void> }> {
  const weights = weightFacts(model);
  const { source, cleanup } = await storeModel(model, weights.bytes <= MEMORY_LIMIT, options);
  return { model: { source, weights }, cleanup };
}

export async function loadStored(sessions: SessionTable, { source, weights }: StoredForJobs, options: SessionOptions, cleanup: () => Promise<void> = async () => {}): Promise<Executor> {
  const settings = sessionSettings(options, { ...weights, byPath: source.kind === 'file' });
  const { handle, inputs, outputs } = await sessions.open(source, settings);
  const typed = (values: typeof inputs): ValueInfo[] => values.map(({ name, dtype, shape }) => ({ name, type: tensorType(dtype, shape) }));
  return localExecutor(sessions, handle, typed(inputs), typed(outputs), cleanup);
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
