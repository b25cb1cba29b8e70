/** What the page knows of models, and what it can ask to be done with them. */
import { request, requestJson } from './client.js';

export type ModelState = 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE';
export type ModelTask = 'chat' | 'completions' | 'embeddings' | 'infer';

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
  /** Its graph with external data. */
  readonly bytes?: number;
  /** Most tokens of prompt and answer together. */
  readonly contextLength?: number;
}

export interface ModelList {
  readonly models: readonly ModelEntry[];
  /** Models can be loaded and unloaded at this address. */
  readonly manage: boolean;
}

export function listModels(signal?: AbortSignal): Promise<ModelList> {
  return requestJson('penjing/models', { signal });
}

export async function loadModel(name: string): Promise<void> {
  await request(`admin/models/${encodeURIComponent(name)}/load`, { json: {} });
}

export async function unloadModel(name: string): Promise<void> {
  await request(`admin/models/${encodeURIComponent(name)}/unload`, { json: {} });
}

/** The page of a report, as HTML of somebody else: never put into the document as it is. */
export async function readReport(model: string, variant: string, signal?: AbortSignal): Promise<string> {
  return (await request(`penjing/models/${encodeURIComponent(model)}/reports/${encodeURIComponent(variant)}`, { signal })).text();
}
