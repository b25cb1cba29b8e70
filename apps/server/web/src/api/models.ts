/** What the page knows of models, and what it can ask to be done with them. */
import { request, requestJson } from './client.js';

export type ModelState = 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE' | 'FAILED';
export type ModelTask = 'chat' | 'completions' | 'embeddings' | 'infer';

export interface ModelVariant {
  readonly name: string;
  /** Bytes of its graph. */
  readonly bytes?: number;
  /** What it loses, as the ladder of the model's configuration says. */
  readonly loss?: string;
  /** The steps that made it. */
  readonly steps?: readonly string[];
  /** There is a report of its comparison. */
  readonly report: boolean;
}

export interface ModelEntry {
  readonly name: string;
  readonly version?: string;
  readonly state: ModelState;
  /** Why it is not ready. */
  readonly reason?: string;
  /** Empty until it is loaded. */
  readonly tasks: readonly ModelTask[];
  /** Resident memory of its process. */
  readonly memoryBytes?: number;
  readonly variants: readonly ModelVariant[];
}

export async function listModels(signal?: AbortSignal): Promise<readonly ModelEntry[]> {
  return (await requestJson<{ readonly models: readonly ModelEntry[] }>('penjing/models', { signal })).models;
}

export async function loadModel(name: string): Promise<void> {
  await request(`v2/repository/models/${encodeURIComponent(name)}/load`, { json: {} });
}

export async function unloadModel(name: string): Promise<void> {
  await request(`v2/repository/models/${encodeURIComponent(name)}/unload`, { json: {} });
}

/** The page of a report, as HTML of somebody else: never put into the document as it is. */
export async function readReport(model: string, variant: string, signal?: AbortSignal): Promise<string> {
  return (await request(`penjing/models/${encodeURIComponent(model)}/reports/${encodeURIComponent(variant)}`, { signal })).text();
}
