/** What one position after the other adds to the figures of one language model, or of two side by side. */
import { argmax } from '../generate/sampler.js';
import { type ErrorSums, addError, errorSums } from './difference.js';

/** Bins of the KL of one token: powers of ten from 10^lowest; the first and the last take what is beyond. */
export const klBins = { lowest: -7, perDecade: 4, count: 36 } as const;

export interface ScoreSums {
  /** Predicted tokens. */
  tokens: number;
  /** Sums of -ln p(token). */
  nllA: number;
  nllB: number;
  /** Sum of KL(a ‖ b), nats. */
  kl: number;
  /** Positions by their KL, see `klBins`. */
  readonly klCounts: number[];
  /** Positions where both find the same token likeliest. */
  agreed: number;
  /** Logits of b against those of a. */
  readonly logits: ErrorSums;
}

export function scoreSums(): ScoreSums {
  return { tokens: 0, nllA: 0, nllB: 0, kl: 0, klCounts: new Array<number>(klBins.count).fill(0), agreed: 0, logits: errorSums() };
}

/** Adds a position by its logits (vocabulary) in each model, and the token that came. */
export function addPosition(sums: ScoreSums, a: Float32Array, b: Float32Array | undefined, target: number): void {
  const topA = argmax(a);
  sums.tokens++;
  if (b) return addPair(sums, a, topA, b, target);
  let total = 0;
  for (let i = 0; i < a.length; i++) total += Math.exp(a[i]! - a[topA]!);
  sums.nllA += a[topA]! + Math.log(total) - a[target]!;
}

/** All figures of one position in one pass, since vocabularies are large: KL is Σ p·(a − b) - ln Z_a + ln Z_b. */
function addPair(sums: ScoreSums, a: Float32Array, topA: number, b: Float32Array, target: number): void {
  const topB = argmax(b);
  const [maxA, maxB] = [a[topA]!, b[topB]!];
  let [totalA, totalB, cross] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    const weight = Math.exp(x - maxA);
    totalA += weight;
    totalB += Math.exp(y - maxB);
    // 0 · ln 0 is 0: a token that a rules out says nothing about b.
    if (weight > 0) cross += weight * (x - y);
    addError(sums.logits, x, y);
  }
  const [lnA, lnB] = [maxA + Math.log(totalA), maxB + Math.log(totalB)];
  const kl = cross / totalA - lnA + lnB;
  sums.nllA += lnA - a[target]!;
  sums.nllB += lnB - b[target]!;
  // Rounding can leave a few 1e-9 below zero.
  sums.kl += kl < 0 ? 0 : kl;
  const bin = Math.floor((Math.log10(Math.max(kl, Number.MIN_VALUE)) - klBins.lowest) * klBins.perDecade);
  sums.klCounts[Math.min(klBins.count - 1, Math.max(0, bin))]!++;
  if (topA === topB) sums.agreed++;
}
