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
  /** Subtracted from the logit of a token for each time that it was written; 0 changes nothing. */
  readonly frequencyPenalty: number;
  /** Subtracted from the logits of tokens that were written at all; 0 changes nothing. */
  readonly presencePenalty: number;
  /** Added to the logits of single tokens. */
  readonly logitBias: readonly (readonly [token: number, bias: number])[];
  /** How many of the likeliest tokens are told beside the one that is drawn, with their log-probabilities; undefined tells nothing. */
  readonly logProbabilities: number | undefined;
  readonly seed: number;
}

export interface TokenProbability {
  readonly token: number;
  /** Natural logarithm of what the model gives it, before any penalty, bias or temperature. */
  readonly logProbability: number;
}

/** A token, with probabilities when they were asked for. */
export interface Drawn extends Partial<TokenProbability> {
  readonly token: number;
  /** The likeliest, best first. */
  readonly likeliest?: readonly TokenProbability[];
}

/** Tokens that a grammar lets come next. */
export interface Allowed {
  /** A bit for each token; what is beyond them is not allowed. */
  readonly words: Int32Array;
  /** Tokens that are allowed whatever their bits say. */
  readonly others: readonly number[];
}

export interface Sampler {
  /** Next token after `context`, whose first `promptLength` tokens were not written by the model; may overwrite `logits` (vocabSize). */
  next(logits: Float32Array, context: readonly number[], promptLength?: number, allowed?: Allowed): Drawn;
}

export function createSampler(params: SamplingParams): Sampler {
  const rng = createRng(params.seed);
  return {
    next(logits, context, promptLength = 0, allowed = undefined) {
      const told = params.logProbabilities === undefined ? undefined : probabilities(logits, params.logProbabilities);
      if (params.repetitionPenalty !== 1) penalize(logits, context, params.repetitionPenalty);
      if (params.frequencyPenalty !== 0 || params.presencePenalty !== 0) subtractPenalties(logits, context, promptLength, params);
      for (const [token, bias] of params.logitBias) if (token < logits.length) logits[token]! += bias;
      if (allowed) forbidOthers(logits, allowed);
      const token = params.temperature === 0 ? argmax(logits) : sample(logits, params, rng);
      return told ? { token, logProbability: told.of(token), likeliest: told.likeliest } : { token };
    },
  };
}

/** Log-probabilities of logits as they are now. */
function probabilities(logits: Float32Array, count: number): { of(token: number): number; readonly likeliest: readonly TokenProbability[] } {
  const raw = logits.slice();
  const top = raw[argmax(raw)]!;
  let total = 0;
  for (const logit of raw) total += Math.exp(logit - top);
  const of = (token: number): number => raw[token]! - top - Math.log(total);
  const best = count === 0 ? [] : Array.from(kernels.topK(raw, Math.min(count, raw.length)));
  return { of, likeliest: best.map((token) => ({ token, logProbability: of(token) })) };
}

/** After penalties and biases: no number brings a forbidden token back. Throws `E_NUMERIC` when the model gives none of the allowed ones a number. */
function forbidOthers(logits: Float32Array, { words, others }: Allowed): void {
  const kept = others.map((token) => [token, logits[token]] as const);
  const end = Math.min(logits.length, 32 * words.length);
  for (let token = 0; token < end; token++) if (((words[token >> 5]! >>> (token & 31)) & 1) === 0) logits[token] = -Infinity;
  logits.fill(-Infinity, end);
  for (const [token, logit] of kept) if (logit !== undefined) logits[token] = logit;
  if (logits.every((logit) => !(logit > -Infinity))) throw new PenjingError('E_NUMERIC', 'the model gives none of the tokens that the grammar allows a number');
}

/** As OpenAI's interface defines them: what the prompt says does not count. */
function subtractPenalties(logits: Float32Array, context: readonly number[], promptLength: number, { frequencyPenalty, presencePenalty }: SamplingParams): void {
  const counts = new Map<number, number>();
  for (let i = promptLength; i < context.length; i++) counts.set(context[i]!, (counts.get(context[i]!) ?? 0) + 1);
  for (const [token, count] of counts) if (token < logits.length) logits[token]! -= presencePenalty + count * frequencyPenalty;
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
  let last = kept[0]!;
  for (const token of kept) {
    if (weights[token] === 0) continue;
    rest -= weights[token]!;
    last = token;
    if (rest < 0) return token;
  }
  // Rounding can leave a little.
  return last;
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
