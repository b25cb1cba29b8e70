/** Times of calls of a model. */
import type { Executor, Feeds } from '@penjing/core';

/** Milliseconds of one call: of the clock, or with `cpu` of the processor, which other work on the machine does not add to. */
export async function timed(executor: Executor, feeds: Feeds, cpu: boolean): Promise<number> {
  const [started, used] = [performance.now(), process.cpuUsage()];
  await executor.run(feeds);
  const { user, system } = process.cpuUsage(used);
  return cpu ? (user + system) / 1000 : performance.now() - started;
}

export function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1]!;
}
