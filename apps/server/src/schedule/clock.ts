/** Time as schedulers see it; tests turn it by hand. */

export interface Clock {
  /** Milliseconds, ever growing. */
  now(): number;
  /** Calls once after a time; what is returned takes the call back. */
  after(ms: number, call: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, call) {
    // Node would call at once what lies further away than this.
    const timer = setTimeout(call, Math.min(ms, 2 ** 31 - 1));
    return () => clearTimeout(timer);
  },
};
