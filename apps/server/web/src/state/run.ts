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
  /** Ends what is under way, and forgets the result and the error. */
  readonly clear: () => void;
}

export function createRun<T>(): Run<T> {
  const busy = signal(false);
  const result = signal<T | undefined>(undefined);
  const error = signal<unknown>(undefined);
  const stopped = signal(false);
  let controller = new AbortController();
  const clear = (): void => {
    controller.abort();
    controller = new AbortController();
    busy.value = false;
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
      const own = (controller = new AbortController());
      busy.value = true;
      error.value = undefined;
      stopped.value = false;
      // What was cleared meanwhile says nothing any more.
      const say = (end: () => void): void => {
        if (own !== controller) return;
        busy.value = false;
        end();
      };
      await work(own.signal).then(
        (value) => say(() => (result.value = value)),
        (cause: unknown) => say(() => (own.signal.aborted ? (stopped.value = true) : (error.value = cause))),
      );
    },
    stop: () => controller.abort(),
    clear,
  };
}
