/** The windowing rule of every perplexity here: consecutive, non-overlapping windows, each from an empty cache. */
import { PenjingError, createRng } from '@penjing/core';

/** Tokens of a window, unless the model's context is smaller. */
export const WINDOW_TOKENS = 512;

/** Cuts tokens into windows; a last window of a single token predicts nothing and is left out. */
export function tokenWindows(tokens: ArrayLike<number>, windowTokens: number, maxTokens = Infinity): Int32Array[] {
  const all = Int32Array.from(tokens).subarray(0, Math.min(tokens.length, maxTokens));
  const windows: Int32Array[] = [];
  for (let at = 0; at + 1 < all.length; at += windowTokens) windows.push(all.slice(at, at + windowTokens));
  if (windows.length === 0) {
    throw new PenjingError('E_INPUT', `the text has ${all.length} tokens; at least two are needed`, { hint: 'Give a longer text.' });
  }
  return windows;
}

/** Windows of random tokens, for models that came without a text. */
export function randomWindows(count: number, windowTokens: number, vocabSize: number, seed: number): Int32Array[] {
  const rng = createRng(seed);
  return Array.from({ length: count }, () => Int32Array.from({ length: windowTokens }, () => rng.below(vocabSize)));
}
