/** How long a model's process waits before it is started again. */

export interface Backoff {
  /** Milliseconds until the next start; grows with each one. */
  next(): number;
  /** What follows is a first failure again. */
  reset(): void;
}

export interface BackoffOptions {
  readonly firstMs?: number;
  readonly mostMs?: number;
}

/** Doubles from a quarter of a second to half a minute: a model that dies at once must not take the machine with it. */
export function createBackoff({ firstMs = 250, mostMs = 30_000 }: BackoffOptions = {}): Backoff {
  let failures = 0;
  return {
    next: () => Math.min(mostMs, firstMs * 2 ** failures++),
    reset: () => void (failures = 0),
  };
}
