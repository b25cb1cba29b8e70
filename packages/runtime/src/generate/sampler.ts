/** Chooses the next token from logits: greedy, or sampled through the usual filters in the order transformers applies them. */
import { PenjingError, type Rng, createRng } from '@penjing/core';
import { plainKernels } from '@penjing/kernels';

const kernels = plainKernels();

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

/** Index of the largest value, the first of equals. Throws `E_NUMERIC` when all are NaN: such a model would say token 0 for ever. */
export function argmax(values: Float32Array): number {
  const best = kernels.argMax(values);
  if (best >= 0) return best;
  throw new PenjingError('E_NUMERIC', 'the model gives NaN for every token', {
    hint: 'Its weights are damaged, or overflow in float16; try another variant or convert it again.',
  });
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
  let kept = topK > 0 ? kernels.topK(logits, Math.min(topK, logits.length)) : Uint32Array.from(weights.keys());
  if (topP < 1) kept = nucleus(kept, topK > 0, logits, weights, topP);
  if (minP > 0) kept = kept.filter((token) => weights[token]! >= minP);
  let rest = rng.uniform() * sum(kept, weights);
  for (const token of kept) {
    rest -= weights[token]!;
    if (rest < 0) return token;
  }
  return kept[0]!;
}

/** How many tokens are ranked at first; a nucleus is nearly always smaller, and sorting 100,000 would cost 30 ms. */
const FIRST_RANKED = 64;

/** The fewest of the `kept` tokens, best first, that reach the share `topP` of their total; at least one. */
function nucleus(kept: Uint32Array, ranked: boolean, logits: Float32Array, weights: Float64Array, topP: number): Uint32Array {
  const wanted = topP * sum(kept, weights);
  let count = ranked ? kept.length : Math.min(kept.length, FIRST_RANKED);
  for (;;) {
    const best = ranked ? kept : kernels.topK(logits, count);
    let reached = 0;
    for (let i = 0; i < best.length; i++) {
      reached += weights[best[i]!]!;
      if (reached >= wanted) return best.subarray(0, i + 1);
    }
    // Rounding can leave the sum of all a little short.
    if (count >= kept.length) return best;
    count = Math.min(kept.length, count * 8);
  }
}

function sum(tokens: Uint32Array, weights: Float64Array): number {
  let total = 0;
  for (const token of tokens) total += weights[token]!;
  return total;
}
