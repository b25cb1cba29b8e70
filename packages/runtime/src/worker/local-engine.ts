/** The `Engine` of core inside a session worker: for jobs, whose tensors are used where they lie. */
import type { Engine, EngineOptions, Executor, Model, TaskOptions } from '@penjing/core';
import { storeInPlace, storeModel, weightFacts, weightFolder, withFixedWeights } from '../engine/model-source.js';
import { type SessionOptions, type WeightFacts, sessionSettings } from '../engine/settings.js';
import type { SessionTable } from './session-table.js';
import { openExecutor } from './local-executor.js';
import type { SessionSettings, SessionSource } from './wire-types.js';

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
  /** Where the weights lie that the source points at, when it is not there itself. */
  readonly folder?: string;
}

/** Serializes a model, in memory when it is small or its weights lie in files as they are, else into a folder inside `parent`. */
export async function storeForJobs(given: Model, options: Pick<TaskOptions, 'signal'>, parent?: string): Promise<{ model: StoredForJobs; cleanup: () => Promise<void> }> {
  const model = withFixedWeights(given);
  const weights = weightFacts(model);
  const inPlace = weights.bytes > MEMORY_LIMIT ? await storeInPlace(model, MEMORY_LIMIT) : undefined;
  if (inPlace) return { model: { ...inPlace, weights }, cleanup: async () => {} };
  const { source, cleanup } = await storeModel(model, weights.bytes <= MEMORY_LIMIT, options, parent);
  return { model: { source, weights }, cleanup };
}

export async function loadStored(sessions: SessionTable, stored: StoredForJobs, options: SessionOptions, cleanup: () => Promise<void> = async () => {}): Promise<Executor> {
  return openExecutor(sessions, stored.source, storedSettings(stored, options), cleanup);
}

export function storedSettings({ source, weights, folder }: StoredForJobs, options: SessionOptions): SessionSettings {
  const config = folder === undefined ? {} : { sessionConfig: { ...weightFolder(folder), ...options.sessionConfig } };
  return sessionSettings({ ...options, ...config }, { ...weights, byPath: source.kind === 'file' || folder !== undefined });
}
