/** A clock that tests turn by hand. */
import type { Clock } from '../clock.js';

export interface HandClock extends Clock {
  /** Moves on, making the calls that fall due, each at its time, and lets promises settle in between. */
  advance(ms: number): Promise<void>;
}

export function handClock(): HandClock {
  let time = 0;
  let timers: { at: number; call: () => void }[] = [];
  return {
    now: () => time,
    after(ms, call) {
      const timer = { at: time + ms, call };
      timers.push(timer);
      return () => void (timers = timers.filter((other) => other !== timer));
    },
    async advance(ms) {
      const until = time + ms;
      for (;;) {
        await settle();
        const next = timers.reduce<(typeof timers)[number] | undefined>((first, timer) => (timer.at <= until && (!first || timer.at < first.at) ? timer : first), undefined);
        if (!next) break;
        timers = timers.filter((timer) => timer !== next);
        time = Math.max(time, next.at);
        next.call();
      }
      time = until;
    },
  };
}

/** Promises of promises of promises. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
