/** Scores one or two language models on text: perplexity, KL divergence, agreement of the likeliest token. */
import { PenjingError, type TaskOptions } from '@penjing/core';
import { inRange } from '../generate/range.js';
import type { OpenedReference } from '../open-reference.js';
import type { SessionHost } from '../session-host.js';
import { loadTokenizer } from '../tokenize/tokenizer-files.js';
import type { Tokenizer } from '../tokenize/tokenizer.js';
import type { ErrorSums } from './difference.js';
import { klBins } from '../worker/score.js';
import { WINDOW_TOKENS, randomWindows, tokenWindows } from './text-windows.js';

export interface LanguageOptions {
  /** Text to predict; random tokens when neither this nor `tokens` is given (perplexity then means little). */
  readonly text?: string;
  /** Token ids to predict, instead of text. */
  readonly tokens?: ArrayLike<number>;
  /** For `text`; the tokenizer of the first model's folder when absent. */
  readonly tokenizer?: Tokenizer;
  /** Tokens of a window; 512, or the model's context when that is smaller. */
  readonly windowTokens?: number;
  /** Stop after this many tokens; all when absent. */
  readonly maxTokens?: number;
}

/** How many tokens have a KL divergence in [10^(lowest + i/perDecade), 10^(lowest + (i+1)/perDecade)) nats. */
export interface KlHistogram {
  readonly lowest: number;
  readonly perDecade: number;
  /** The first and the last count take what is beyond. */
  readonly counts: readonly number[];
}

export interface LanguageScores {
  /** Predicted tokens. */
  readonly tokens: number;
  readonly perplexityA: number;
  /** Present when there is a second model, as are the three below. */
  readonly perplexityB: number | undefined;
  readonly klDivergence: number | undefined;
  readonly topTokenAgreement: number | undefined;
  readonly klHistogram: KlHistogram | undefined;
  readonly logits: ErrorSums;
  readonly data: string;
}

/** For models that do not say how long their context is. */
const MAX_WINDOW_TOKENS = 2 ** 20;
const RANDOM_WINDOWS = 4;
const RANDOM_WINDOW_TOKENS = 64;

export async function scoreLanguage(
  host: SessionHost,
  a: OpenedReference,
  b: OpenedReference | undefined,
  options: LanguageOptions & TaskOptions,
): Promise<LanguageScores> {
  const { windows, data } = await windowsFor(a, b, options);
  const total = windows.reduce((sum, window) => sum + window.length - 1, 0);
  let done = 0;
  const { signal, onProgress } = options;
  const sums = await host.call('score', { a: a.handle, ...(b ? { b: b.handle } : {}), windows }, {
    ...(signal ? { signal } : {}),
    onEvent({ tokens }) {
      done += tokens;
      onProgress?.({ phase: b ? 'compare' : 'evaluate', done, total, unit: 'tokens' });
    },
  });
  return {
    tokens: sums.tokens,
    perplexityA: Math.exp(sums.nllA / sums.tokens),
    perplexityB: b ? Math.exp(sums.nllB / sums.tokens) : undefined,
    klDivergence: b ? sums.kl / sums.tokens : undefined,
    topTokenAgreement: b ? sums.agreed / sums.tokens : undefined,
    klHistogram: b ? { lowest: klBins.lowest, perDecade: klBins.perDecade, counts: sums.klCounts } : undefined,
    logits: sums.logits,
    data,
  };
}

async function windowsFor(
  a: OpenedReference,
  b: OpenedReference | undefined,
  options: LanguageOptions & TaskOptions,
): Promise<{ windows: Int32Array[]; data: string }> {
  const contexts = [a.language?.contextLength, b?.language?.contextLength].filter((length) => length !== undefined);
  const longest = Math.min(MAX_WINDOW_TOKENS, ...contexts);
  const fallback = Math.min(WINDOW_TOKENS, longest);
  const width = inRange('windowTokens', options.windowTokens, { min: 2, max: longest, integer: true, fallback });
  const tokens = options.tokens ?? (options.text === undefined ? undefined : (await tokenizerFor(a, options)).encode(options.text));
  if (tokens) return { windows: tokenWindows(tokens, width, options.maxTokens), data: `${options.tokens ? 'given tokens' : 'text'} in windows of ${width} tokens` };
  const vocabSize = a.language?.vocabSize ?? vocabOf(a);
  const seed = options.seed ?? 0;
  const random = Math.min(width, RANDOM_WINDOW_TOKENS);
  return { windows: randomWindows(RANDOM_WINDOWS, random, vocabSize, seed), data: `random tokens, seed ${seed}` };
}

async function tokenizerFor(a: OpenedReference, { tokenizer }: LanguageOptions): Promise<Tokenizer> {
  if (tokenizer) return tokenizer;
  if (a.folder !== undefined) return loadTokenizer(a.folder);
  throw new PenjingError('E_INPUT', 'a model in memory has no tokenizer for the text', { hint: 'Give `tokenizer` or `tokens`.' });
}

/** Width of the declared logits. */
function vocabOf({ outputs }: OpenedReference): number {
  const type = outputs.find(({ name }) => name === 'logits')?.type;
  const width = type?.kind === 'tensor' ? type.shape?.at(-1) : undefined;
  if (typeof width === 'number') return width;
  throw new PenjingError('E_INPUT', 'the size of the vocabulary is not known', { hint: 'Give `text` or `tokens`.' });
}
