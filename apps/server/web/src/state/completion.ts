/** Text that a model goes on with; it goes on while the reader looks at another view. */
import { signal } from '@preact/signals';
import { type GenerationStats, streamCompletion } from '../api/generation.js';
import { parameters } from './parameters.js';
import { createRun } from './run.js';

export const beginning = signal('');
export const continuation = signal('');
export const completionStats = signal<GenerationStats | undefined>(undefined);
export const completing = createRun<void>();

export function complete(model: string): Promise<void> {
  return completing.start(async (signal) => {
    continuation.value = '';
    completionStats.value = undefined;
    completionStats.value = await streamCompletion(beginning.value, {
      model,
      parameters: parameters.value,
      signal,
      onText: (text, stats) => {
        continuation.value += text;
        completionStats.value = stats;
      },
    });
  });
}

/** The continuation becomes part of the beginning. */
export function adoptContinuation(): void {
  beginning.value += continuation.value;
  continuation.value = '';
  completionStats.value = undefined;
}
