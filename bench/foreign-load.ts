/** How many cores other programs keep busy meanwhile: figures taken beside them say nothing. */
import { readFileSync } from 'node:fs';

/** Cores that others took since the call before, from the second call on; 0 where the system does not tell. */
export function foreignLoad(): () => number {
  let before = sample();
  return () => {
    const now = sample();
    const busy = now.all - before.all - (now.own - before.own);
    const cores = busy / Math.max(1e-3, now.at - before.at);
    before = now;
    return Math.max(0, cores);
  };
}

/** Seconds of processors, of all programs and of this one. */
function sample(): { readonly at: number; readonly all: number; readonly own: number } {
  const { user, system } = process.cpuUsage();
  let all = 0;
  try {
    const [first] = readFileSync('/proc/stat', 'utf8').split('\n');
    const ticks = first!.trim().split(/\s+/).slice(1).map(Number);
    // user, nice, system, irq, softirq and what other guests of the host took: idle times are what is left.
    all = [0, 1, 2, 5, 6, 7].reduce((sum, i) => sum + ticks[i]!, 0) / TICKS_PER_SECOND;
  } catch {
    all = (user + system) / 1e6;
  }
  return { at: performance.now() / 1000, all, own: (user + system) / 1e6 };
}

const TICKS_PER_SECOND = 100;
