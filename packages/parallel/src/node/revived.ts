/** An executor that is opened again when its worker dies. */
import type { Executor, Feeds, Fetches, RunOptions } from '@penjing/core';
import { isLost, rerunOnce } from './rerun.js';

/**
 * Opens an executor, and a new one in its place when a run tells that its worker died (`E_WORKER`). The work of that run is done again once, unless its feeds were given away: then who has them does
 * it. `signal` ends the first opening only: whoever opened the model has long gone on when another is needed.
 */
export async function openRevived(open: (signal?: AbortSignal) => Promise<Executor>, signal?: AbortSignal): Promise<Executor> {
  let current: Promise<Executor> = open(signal);
  const { inputs, outputs } = await current;
  let closed = false;

  function replace(dead: Promise<Executor>): void {
    if (current !== dead || closed) return;
    current = dead.catch(() => undefined).then(async (executor) => {
      await Promise.resolve(executor?.[Symbol.asyncDispose]()).catch(() => {});
      return open();
    });
    // Whoever runs next is told; nobody may be there now.
    current.catch(() => {});
  }

  async function once(feeds: Feeds, options: RunOptions): Promise<Fetches> {
    const used = current;
    const executor = await used.catch((error: unknown) => {
      replace(used);
      throw error;
    });
    try {
      return await executor.run(feeds, options);
    } catch (error) {
      if (isLost(error)) replace(used);
      throw error;
    }
  }

  return {
    inputs,
    outputs,
    run: (feeds, options = {}) => ((options.transfer ?? []).length > 0 ? once(feeds, options) : rerunOnce(() => once(feeds, options), options.signal)),
    async [Symbol.asyncDispose]() {
      closed = true;
      const executor = await current.catch(() => undefined);
      await executor?.[Symbol.asyncDispose]();
    },
  };
}
