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

/** Items are taken when there is room for them. What `work` throws ends it. */
export async function* inOrder<T, R>(items: AsyncIterable<T>, { most, ahead, stop, signal }: InOrderOptions, work: (item: T, index: number) => Promise<R>): AsyncGenerator<R, void, undefined> {
  const iterator = items[Symbol.asyncIterator]();
  const places: Place<R>[] = [];
  const running = new Set<Promise<void>>();
  let begun = 0;
  let ended = false;
  const begin = (item: T): void => {
    const place: Place<R> = {};
    places.push(place);
    const run = work(item, begun++).then((result) => {
      place.done = { result };
      running.delete(run);
    });
    // It is told by the race below; until then it is nobody's.
    run.catch(() => {});
    running.add(run);
  };
  try {
    for (;;) {
      while (!ended && running.size < most && places.length < ahead) {
        const next = await iterator.next();
        if (next.done) ended = true;
        else begin(next.value);
      }
      for (let first = places[0]?.done; first; first = places[0]?.done) {
        signal?.throwIfAborted();
        places.shift();
        yield first.result;
      }
      if (places.length === 0 && ended) return;
      // Places were given free while results were taken: the next items first.
      if (ended || running.size >= most || places.length >= ahead) await Promise.race(running);
    }
  } finally {
    stop();
    await Promise.allSettled(running);
    await iterator.return?.();
  }
}
