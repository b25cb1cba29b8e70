/** Chooses the next token from logits: greedy, or sampled through the usual filters in the order transformers applies them. */
import { type Rng, createRng } from '@penjing/core';

export interface SamplingParams {
  /** 0 chooses the most likely token. */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  readonly topK: number;
  /** Keep the fewest tokens whose probabilities sum to at least p; 1 keeps all. */
  readonly topP: number;
  /** Keep tokens at least this fraction as likely as the likeliest; 0 keeps all. */
  readonly minP: number;
  /** Divides positive and multiplies negative logits of tokens that occurred; 1 changes nothing. */
  readonly repetitionPenalty: number;
  readonly seed: number;
}

export interface Sampler {
  /** Next token after `context`; may overwrite `logits` (vocabSize). */
  next(logits: Float32Array, context: Iterable<number>): number;
}

export function createSampler(params: SamplingParams): Sampler {
  const rng = createRng(params.seed);
  return {
    next(logits, context) {
      if (params.repetitionPenalty !== 1) penalize(logits, context, params.repetitionPenalty);
      return params.temperature === 0 ? argmax(logits) : sample(logits, params, rng);
    },
  };
}

/** Index of the largest value, the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

function penalize(logits: Float32Array, context: Iterable<number>, penalty: number): void {
  for (const token of new Set(context)) {
    const logit = logits[token];
    if (logit !== undefined) logits[token] = logit > 0 ? logit / penalty : logit * penalty;
  }
}

function sample(logits: Float32Array, { temperature, topK, topP, minP }: SamplingParams, rng: Rng): number {
  const top = logits[argmax(logits)]!;
  // Probabilities relative to the likeliest token; minP is a floor in just this scale.
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - top) / temperature));
  let kept: Uint32Array = Uint32Array.from(weights.keys());
  if (topK > 0 || topP < 1) {
    kept.sort((a, b) => weights[b]! - weights[a]! || a - b);
    if (topK > 0) kept = kept.subarray(0, topK);
    if (topP < 1) kept = kept.subarray(0, nucleus(kept, weights, topP));
  }
  if (minP > 0) kept = kept.filter((token) => weights[token]! >= minP);
  let total = 0;
  for (const token of kept) total += weights[token]!;
  let rest = rng.uniform() * total;
  for (const token of kept) {
    rest -= weights[token]!;
    if (rest < 0) return token;
  }
  return kept[0]!;
}

/** How many of the sorted tokens it takes to reach the share `topP` of their total; at least one. */
function nucleus(sorted: Uint32Array, weights: Float64Array, topP: number): number {
  let total = 0;
  for (const token of sorted) total += weights[token]!;
  let sum = 0;
  for (let i = 0; i < sorted.length; i++) {
    sum += weights[sorted[i]!]!;
    if (sum >= topP * total) return i + 1;
  }
  return sorted.length;
}
