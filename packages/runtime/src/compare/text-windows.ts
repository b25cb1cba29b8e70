/** The windowing rule of every perplexity here: windows of one length, each from an empty cache; where they overlap, a token counts once, with the most before it. */
import { PenjingError, createRng } from '@penjing/core';

/** Tokens of a window, unless the model's context is smaller. */
export const WINDOW_TOKENS = 512;

export interface TokenWindow {
  readonly tokens: Int32Array;
  /** Index of the first one that is predicted, at least 1; those before it are only read. */
  readonly from: number;
}

export interface WindowOptions {
  /** Tokens of a window. */
  readonly length: number;
  /** From the beginning of one to that of the next; `length` when absent: windows then do not overlap, and the first token of each is not predicted. */
  readonly stride?: number | undefined;
  /** Of the text. */
  readonly maxTokens?: number | undefined;
}

/** Cuts tokens into windows; a last window of a single token predicts nothing and is left out. Throws `E_INPUT` for fewer than two tokens. */
export function tokenWindows(tokens: ArrayLike<number>, { length, stride = length, maxTokens = Infinity }: WindowOptions): TokenWindow[] {
  const all = Int32Array.from(tokens).subarray(0, Math.min(tokens.length, maxTokens));
  const windows: TokenWindow[] = [];
  for (let at = 0, predicted = 0; predicted < all.length && at + 1 < all.length; at += stride) {
    const end = Math.min(all.length, at + length);
    windows.push({ tokens: all.slice(at, end), from: Math.max(1, predicted - at) });
    predicted = end;
  }
  if (windows.length === 0) {
    throw new PenjingError('E_INPUT', `the text has ${all.length} tokens; at least two are needed`, { hint: 'Give a longer text.' });
  }
  return windows;
}

/** Windows of random tokens, for models that came without a text. */
export function randomWindows(count: number, length: number, vocabSize: number, seed: number): TokenWindow[] {
  const rng = createRng(seed);
  return Array.from({ length: count }, () => ({ tokens: Int32Array.from({ length }, () => rng.below(vocabSize)), from: 1 }));
}
