/** One piece of work at a time: what came of it, what went wrong, and an end to it. It goes on while the reader looks at another view. */
import { type ReadonlySignal, signal } from '@preact/signals';

export interface Run<T> {
  readonly busy: ReadonlySignal<boolean>;
  readonly result: ReadonlySignal<T | undefined>;
  readonly error: ReadonlySignal<unknown>;
  /** The reader ended the last one. */
  readonly stopped: ReadonlySignal<boolean>;
  /** Does nothing while another is under way; the last result stands until the next is there. */
  readonly start: (work: (signal: AbortSignal) => Promise<T>) => Promise<void>;
  readonly stop: () => void;
  /** Forgets the result and the error; what is under way goes on. */
  readonly clear: () => void;
}

export function createRun<T>(): Run<T> {
  const busy = signal(false);
  const result = signal<T | undefined>(undefined);
  const error = signal<unknown>(undefined);
  const stopped = signal(false);
  let controller = new AbortController();
  const clear = (): void => {
    result.value = undefined;
    error.value = undefined;
    stopped.value = false;
  };
  return {
    busy,
    result,
    error,
    stopped,
    async start(work) {
      if (busy.value) return;
      controller = new AbortController();
      busy.value = true;
      error.value = undefined;
      stopped.value = false;
      try {
        result.value = await work(controller.signal);
      } catch (cause) {
        if (controller.signal.aborted) stopped.value = true;
        else error.value = cause;
      } finally {
        busy.value = false;
      }
    },
    stop: () => controller.abort(),
    clear,
  };
}
