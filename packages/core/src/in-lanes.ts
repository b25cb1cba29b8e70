/** Many things to do, a few at a time. */

/** Results in the order of the items. After a failure nothing new begins; what runs is not waited for. */
export async function inLanes<Item, Result>(items: readonly Item[], lanes: number, work: (item: Item, index: number) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const left = items.entries();
  let failed = false;
  const lane = async (): Promise<void> => {
    for (const [index, item] of left) {
      if (failed) return;
      results[index] = await work(item, index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, items.length) }, () => lane().catch((error: unknown) => {
    failed = true;
    throw error;
  })));
  return results;
}
