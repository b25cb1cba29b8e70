/** What happens to work whose worker died: it is done once more, and then the error is told. */
import { isPenjingError, PenjingError } from '@penjing/core';

/** The worker died under this work, and nobody has done it again yet. */
export function isLost(error: unknown): boolean {
  return isPenjingError(error) && error.code === 'E_WORKER' && error.details?.['again'] !== true;
}

/** Runs again, once, what a dying worker cut off. Executors in executors agree on it: an error that says so was tried again further inside. */
export async function rerunOnce<T>(run: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!isLost(error) || signal?.aborted) throw error;
  }
  try {
    return await run();
  } catch (error) {
    throw isLost(error) ? blamed(error as Error, 'a second time for the same work') : error;
  }
}

/** `rerunOnce` says this. */
export function isLostAgain(error: unknown): boolean {
  return isPenjingError(error) && error.code === 'E_WORKER' && error.details?.['again'] === true;
}

/** The error of work under which workers die. */
export function blamed(cause: Error, why: string): PenjingError {
  return new PenjingError('E_WORKER', `${cause.message}, ${why}`, { cause, details: { again: true }, hint: 'Run these inputs on one device in a child process, and report what ends it.' });
}
