/** Learning rates over time. */
import type { Schedule } from './optimizer.js';

export interface DecayOptions {
  /** The highest rate. */
  readonly rate: number;
  readonly steps: number;
  /** Steps in which the rate rises from 0, evenly; 0 when absent. */
  readonly warmup?: number;
  /** The last rate, as a share of the highest; 0 when absent. */
  readonly end?: number;
}

/** Rises evenly, then falls along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983) to the last step, and stays there. */
export function cosineDecay(options: DecayOptions): Schedule {
  return decay(options, (share) => 0.5 * (1 + Math.cos(Math.PI * share)));
}

/** Rises evenly, falls evenly. */
export function linearDecay(options: DecayOptions): Schedule {
  return decay(options, (share) => 1 - share);
}

function decay({ rate, steps, warmup = 0, end = 0 }: DecayOptions, shape: (share: number) => number): Schedule {
  return (step) => {
    if (step < warmup) return (rate * (step + 1)) / warmup;
    const share = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
    return rate * (end + (1 - end) * shape(share));
  };
}
