/** The models of the server, read again every few seconds while the page is seen. */
import { computed, effect, signal } from '@preact/signals';
import { ApiError } from '../api/api-error.js';
import { listModels, type ModelEntry, type ModelTask } from '../api/models.js';
import { apiKey } from './settings.js';

const EVERY = 4_000;

export const models = signal<readonly ModelEntry[] | undefined>(undefined);
/** This address loads and unloads models. */
export const canManage = signal(false);
export const modelsError = signal<unknown>(undefined);
/** Chosen in a playground; the other playgrounds start from it when it fits. */
export const chosenModel = signal<string | undefined>(undefined);

export type Health = 'ready' | 'notReady' | 'unreachable' | 'unknown';

/** A server without any model that is ready answers, and can do nothing. */
export const health = computed<Health>(() => {
  const error = modelsError.value;
  if (error instanceof ApiError && error.status === 0) return 'unreachable';
  if (!models.value) return 'unknown';
  return models.value.some(({ state }) => state === 'READY') ? 'ready' : 'notReady';
});

export function modelsFor(task: ModelTask): readonly ModelEntry[] {
  return (models.value ?? []).filter(({ state, tasks }) => state === 'READY' && tasks.includes(task));
}

/** The chosen model when it can do the task, else the first that can. */
export function modelFor(task: ModelTask): string | undefined {
  const able = modelsFor(task);
  return (able.find(({ name }) => name === chosenModel.value) ?? able[0])?.name;
}

export async function refreshModels(): Promise<void> {
  try {
    const list = await listModels();
    models.value = list.models;
    canManage.value = list.manage;
    modelsError.value = undefined;
  } catch (error) {
    modelsError.value = error;
  }
}

/** Reads the list now, again when the key changes, and from time to time. */
export function startModels(): void {
  effect(() => {
    void apiKey.value;
    void refreshModels();
  });
  setInterval(() => {
    if (document.visibilityState === 'visible') void refreshModels();
  }, EVERY);
}
