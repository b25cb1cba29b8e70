/** Many things to do, a few at a time. */

/**
 * Results in the order of the items. After a failure nothing new begins, the signal that `work` gets fires, and the failure is thrown when all of it has ended: what the work needs may be
 * disposed of then, unless it leaves behind what others run for it.
 */
export async function inLanes<Item, Result>(items: readonly Item[], lanes: number, work: (item: Item, index: number, signal: AbortSignal) => Promise<Result>, signal?: AbortSignal): Promise<Result[]> {
  const results: Result[] = [];
  const left = items.entries();
  const failing = new AbortController();
  const until = signal ? AbortSignal.any([signal, failing.signal]) : failing.signal;
  const lane = async (): Promise<void> => {
    for (const [index, item] of left) {
      if (failing.signal.aborted) return;
      results[index] = await work(item, index, until);
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, items.length) }, () => lane().catch((error: unknown) => failing.abort(error))));
  failing.signal.throwIfAborted();
  return results;
}
