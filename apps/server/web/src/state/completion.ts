/** A text and its continuation. */
import { signal } from '@preact/signals';
import { type GenerationStats, streamCompletion } from '../api/generation.js';
import { parameters } from './parameters.js';

export const beginning = signal('');
export const continuation = signal('');
export const completionStats = signal<GenerationStats | undefined>(undefined);
export const completionStopped = signal(false);
export const completionError = signal<unknown>(undefined);
export const completing = signal<AbortController | undefined>(undefined);

export async function complete(model: string): Promise<void> {
  if (completing.value) return;
  const controller = new AbortController();
  completing.value = controller;
  continuation.value = '';
  completionStats.value = undefined;
  completionStopped.value = false;
  completionError.value = undefined;
  try {
    completionStats.value = await streamCompletion(beginning.value, {
      model,
      parameters: parameters.value,
      signal: controller.signal,
      onText: (text, stats) => {
        continuation.value += text;
        completionStats.value = stats;
      },
    });
  } catch (error) {
    if (controller.signal.aborted) completionStopped.value = true;
    else completionError.value = error;
  } finally {
    completing.value = undefined;
  }
}

/** The continuation becomes part of the beginning. */
export function adoptContinuation(): void {
  beginning.value += continuation.value;
  continuation.value = '';
  completionStats.value = undefined;
}
