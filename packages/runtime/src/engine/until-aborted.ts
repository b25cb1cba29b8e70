/** Waits that a signal ends. */
import { setMaxListeners } from 'node:events';

/** What the promise gives, or the reason of the signal as soon as it fires. Leaves nothing behind on signals that live long. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    const leave = (): void => signal.removeEventListener('abort', abort);
    work.then(resolve, reject).finally(leave);
    if (signal.aborted) return abort();
    // A server gives one signal to many calls; Node would warn of a leak from the eleventh on.
    setMaxListeners(0, signal);
    signal.addEventListener('abort', abort, { once: true });
  });
}
