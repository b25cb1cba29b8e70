/** Waits that signals end. */

/** What the promise gives; throws the reason of the first signal that fires before. It leaves nothing behind on signals that live long. */
export function untilAborted<T>(promise: Promise<T>, ...signals: readonly (AbortSignal | undefined)[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const release = (): void => {
      for (const signal of signals) signal?.removeEventListener('abort', abort);
    };
    const abort = (): void => {
      release();
      reject(signals.find((signal) => signal?.aborted)?.reason as Error);
    };
    promise.then(resolve, reject).finally(release);
    if (signals.some((signal) => signal?.aborted)) return abort();
    for (const signal of signals) signal?.addEventListener('abort', abort, { once: true });
  });
}
