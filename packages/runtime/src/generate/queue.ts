/** A queue between a callback and one `for await` loop. */

export interface Queue<T> extends AsyncIterable<T> {
  readonly push: (item: T) => void;
  /** The loop ends after the items that are there. */
  readonly end: () => void;
  /** The loop throws after the items that are there. */
  readonly fail: (error: unknown) => void;
}

export function createQueue<T>(): Queue<T> {
  const items: T[] = [];
  let closed: { readonly error?: unknown } | undefined;
  let wake: (() => void) | undefined;
  const notify = (): void => {
    wake?.();
    wake = undefined;
  };
  return {
    push(item) {
      items.push(item);
      notify();
    },
    end() {
      closed ??= {};
      notify();
    },
    fail(error) {
      closed ??= { error };
      notify();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        if (items.length > 0) yield items.shift()!;
        else if (closed) {
          if ('error' in closed) throw closed.error;
          return;
        } else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}
