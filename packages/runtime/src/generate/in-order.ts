/** Work on many items at a time whose results come in the order of the items. */

export interface InOrderOptions {
  /** Items that are worked on at a time. */
  readonly most: number;
  /** Items that are begun before the first of them is done: results that wait for an earlier one take memory. */
  readonly ahead: number;
  /** Called when no more results are wanted, or are to be had: what is going on is waited for then. */
  readonly stop: () => void;
  readonly signal?: AbortSignal | undefined;
}

interface Place<R> {
  done?: { readonly result: R };
}

/**
 * Items are taken when there is room for them, also while nobody asks for a result, and no result waits for an item that is still to come. What `work` throws ends it; what `items` throw is told after the results
 * that are there by then.
 */
export async function* inOrder<T, R>(items: AsyncIterable<T>, { most, ahead, stop, signal }: InOrderOptions, work: (item: T, index: number) => Promise<R>): AsyncGenerator<R, void, undefined> {
  const iterator = items[Symbol.asyncIterator]();
  const places: Place<R>[] = [];
  const running = new Set<Promise<void>>();
  let begun = 0;
  let ended = false;
  let coming: Promise<void> | undefined;
  const fill = (): void => {
    if (coming || ended || running.size >= most || places.length >= ahead) return;
    coming = iterator.next().then((next) => {
      coming = undefined;
      if (next.done) ended = true;
      else if (!ended) begin(next.value);
      fill();
    });
    // It is told by the race below, as is what fails of the work; until then they are nobody's.
    coming.catch(() => {});
  };
  const begin = (item: T): void => {
    const place: Place<R> = {};
    places.push(place);
    const run = work(item, begun++).then((result) => {
      place.done = { result };
      running.delete(run);
      fill();
    });
    run.catch(() => {});
    running.add(run);
  };
  try {
    for (;;) {
      fill();
      for (let first = places[0]?.done; first; first = places[0]?.done) {
        signal?.throwIfAborted();
        places.shift();
        fill();
        yield first.result;
      }
      if (places.length === 0 && ended) return;
      if (!places[0]?.done) await Promise.race(coming ? [coming, ...running] : running);
    }
  } finally {
    ended = true;
    stop();
    await Promise.allSettled(running);
    const closed = iterator.return?.();
    // Items that wait for their next one close after it, which may never come.
    if (coming) closed?.catch(() => {});
    else await closed;
  }
}
