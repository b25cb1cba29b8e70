/** A list that is filled on one side while it is read on the other. */

export interface PushList<T> extends AsyncIterable<T> {
  push(item: T): void;
  end(): void;
}

/** For one reader. Whoever pushes keeps the list short. */
export function pushList<T>(): PushList<T> {
  const items: T[] = [];
  let ended = false;
  let wake = (): void => {};
  return {
    push: (item) => {
      items.push(item);
      wake();
    },
    end: () => {
      ended = true;
      wake();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const item = items.shift();
        if (item !== undefined) yield item;
        else if (ended) return;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    },
  };
}
