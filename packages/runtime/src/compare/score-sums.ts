/** What one position after the other adds to the figures of one language model, or of two side by side. */
import { argmax } from '../generate/sampler.js';
import { type ErrorSums, addError, errorSums } from './difference.js';

/** Bins of the KL of one token: powers of ten from 10^lowest; the first and the last take what is beyond. */
export const klBins = { lowest: -7, perDecade: 4, count: 36 } as const;

/** Sums of -ln p(token) over some tokens, by each model; that of b is 0 without one. */
export interface Losses {
  /** Predicted tokens. */
  tokens: number;
  nllA: number;
  nllB: number;
}

export interface ScoreSums extends Losses {
  /** By window, in order. */
  readonly windows: Losses[];
  /** By how many tokens of the window stand before the predicted one: item i counts those from 2^i to 2^(i + 1) − 1. */
  readonly contexts: Losses[];
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
  return { ...losses(), windows: [], contexts: [], kl: 0, klCounts: new Array<number>(klBins.count).fill(0), agreed: 0, logits: errorSums() };
}

const losses = (): Losses => ({ tokens: 0, nllA: 0, nllB: 0 });

/** What is added from now on is of another window. */
export function openWindow(sums: ScoreSums): void {
  sums.windows.push(losses());
}

/** A predicted token: what came, and how many tokens of its window stand before it. */
export interface Position {
  readonly target: number;
  readonly before: number;
}

/** Adds a position of the window that was opened last by its logits (vocabulary) in each model. */
export function addPosition(sums: ScoreSums, a: Float32Array, b: Float32Array | undefined, { target, before }: Position): void {
  const topA = argmax(a);
  const [nllA, nllB] = b ? addPair(sums, a, topA, b, target) : [lossOf(a, a[topA]!, target), 0];
  const bin = Math.max(0, 31 - Math.clz32(before));
  while (sums.contexts.length <= bin) sums.contexts.push(losses());
  for (const part of [sums, sums.windows.at(-1), sums.contexts[bin]]) {
    if (!part) continue;
    part.tokens++;
    part.nllA += nllA;
    part.nllB += nllB;
  }
}

function lossOf(a: Float32Array, max: number, target: number): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += Math.exp(a[i]! - max);
  return max + Math.log(total) - a[target]!;
}

/** All figures of one position in one pass, since vocabularies are large: KL is Σ p·(a − b) - ln Z_a + ln Z_b. */
function addPair(sums: ScoreSums, a: Float32Array, topA: number, b: Float32Array, target: number): readonly [nllA: number, nllB: number] {
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
  // Rounding can leave a few 1e-9 below zero.
  sums.kl += kl < 0 ? 0 : kl;
  const bin = Math.floor((Math.log10(Math.max(kl, Number.MIN_VALUE)) - klBins.lowest) * klBins.perDecade);
  sums.klCounts[Math.min(klBins.count - 1, Math.max(0, bin))]!++;
  if (topA === topB) sums.agreed++;
  return [lnA - a[target]!, lnB - b[target]!];
}
