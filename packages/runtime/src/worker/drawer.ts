/** Draws the tokens of one text: its sampler, what it is held to, and what ends it. */
import { TextMask } from '../constrain/text-mask.js';
import { createSampler, type Drawn } from '../generate/sampler.js';
import type { GenerateParams } from './generate.js';

export type Next =
  | { readonly finish?: undefined; readonly token: number; readonly drawn: Drawn }
  | { readonly finish: 'end-token' | 'complete'; readonly endToken?: number };

export interface Drawer {
  /** The next token after `context`, or the end of the text; may overwrite `logits` (vocabSize). Throws `E_GRAMMAR` and `E_NUMERIC`, which concern this text alone. */
  next(logits: Float32Array, context: readonly number[]): Next;
  /** To be called at the end, whatever it is. */
  close(): void;
}

export function createDrawer({ prompt, maxNewTokens, endTokens, sampling, mask: source }: Omit<GenerateParams, 'handle' | 'form'>): Drawer {
  const sampler = createSampler(sampling);
  const mask = source && new TextMask(source);
  return {
    next(logits, context) {
      const held = mask?.next();
      if (held && !held.open) return { finish: 'complete' };
      // What ends a text is allowed exactly where the grammar may end, even if it has text of its own.
      const drawn = sampler.next(logits, context, prompt.length, held && { words: without(held.words, endTokens), others: held.mayEnd ? endTokens : [] });
      const { token } = drawn;
      if (endTokens.includes(token)) return { finish: 'end-token', endToken: token };
      if (context.length + 1 < prompt.length + maxNewTokens) mask?.accept(token);
      return { token, drawn };
    },
    close: () => mask?.close(),
  };
}

/** Clears bits where they are: the words are of one step. */
function without(words: Int32Array, tokens: readonly number[]): Int32Array {
  for (const token of tokens) if (token >> 5 < words.length) words[token >> 5]! &= ~(1 << (token & 31));
  return words;
}
