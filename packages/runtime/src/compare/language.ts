/** Scores one or two language models on text: perplexity, KL divergence, agreement of the likeliest token. */
import { PenjingError, type TaskOptions } from '@penjing/core';
import { inRange } from '../generate/range.js';
import type { OpenedReference } from '../open-reference.js';
import type { SessionHost } from '../session-host.js';
import { runJobIn } from '../tasks/run-job-in.js';
import type { Tokenizer } from '../tokenize/tokenizer.js';
import type { ErrorSums } from './difference.js';
import { klBins, type Losses, type ScoreSums } from './score-sums.js';
import { type TextToSplit, textTokensJob } from './text-tokens-job.js';
import { WINDOW_TOKENS, randomWindows, type TokenWindow, tokenWindows } from './text-windows.js';

export interface LanguageOptions {
  /** Text to predict; random tokens when neither this nor `tokens` is given (perplexity then means little). */
  readonly text?: string;
  /** Token ids to predict, instead of text. */
  readonly tokens?: ArrayLike<number>;
  /** The folder of the tokenizer for `text`; that of the first model when absent. */
  readonly tokenizerFolder?: string;
  /** A tokenizer instead: it splits the text on the calling thread, where it lives. */
  readonly tokenizer?: Tokenizer;
  /** Tokens of a window; 512, or the model's context when that is smaller. */
  readonly windowTokens?: number;
  /** Tokens from the beginning of a window to that of the next; `windowTokens`, so that they do not overlap, when absent. Each token is predicted once, by the window that has most before it. */
  readonly stride?: number;
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

/** Where in the text and in its windows a model predicts well. Sums of −ln p; those of b are 0 without a second model. */
export interface TextLosses {
  /** Window by window, in order. */
  readonly windows: readonly Readonly<Losses>[];
  /** By the tokens before the predicted one: item i counts those with 2^i to 2^(i + 1) − 1. */
  readonly contexts: readonly Readonly<Losses>[];
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
  readonly losses: TextLosses;
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
  const { windows, data } = await windowsFor(a, b, options, (text) => runJobIn(host, textTokensJob, text, { signal: options.signal }));
  const total = predictedTokens(windows);
  let done = 0;
  const { signal, onProgress } = options;
  const sums = await host.call('score', { a: a.handle, form: a.form, ...(b ? { b: b.handle } : {}), windows }, {
    ...(signal ? { signal } : {}),
    onEvent({ tokens }) {
      done += tokens;
      onProgress?.({ phase: b ? 'compare' : 'evaluate', done, total, unit: 'tokens' });
    },
  });
  return languageScores(sums, b !== undefined, data);
}

export function predictedTokens(windows: readonly TokenWindow[]): number {
  return windows.reduce((sum, { tokens, from }) => sum + tokens.length - from, 0);
}

/** `pair` when there was a second model. */
export function languageScores(sums: ScoreSums, pair: boolean, data: string): LanguageScores {
  return {
    tokens: sums.tokens,
    perplexityA: Math.exp(sums.nllA / sums.tokens),
    perplexityB: pair ? Math.exp(sums.nllB / sums.tokens) : undefined,
    klDivergence: pair ? sums.kl / sums.tokens : undefined,
    topTokenAgreement: pair ? sums.agreed / sums.tokens : undefined,
    klHistogram: pair ? { lowest: klBins.lowest, perDecade: klBins.perDecade, counts: sums.klCounts } : undefined,
    logits: sums.logits,
    losses: { windows: sums.windows, contexts: sums.contexts },
    data,
  };
}

/** What windows are made for: how long a text may be, and what splits it into tokens. */
export type ReadingModel = Pick<OpenedReference, 'language' | 'folder' | 'outputs'>;

/** Splits a text where the calling thread need not wait for it. */
export type SplitText = (text: TextToSplit) => Promise<Int32Array>;

/** Throws `E_OPTION` for a length or a stride out of range, `E_INPUT` without a tokenizer for the text, or for a text that is too short. */
export async function windowsFor(a: ReadingModel, b: ReadingModel | undefined, options: LanguageOptions & TaskOptions, split: SplitText): Promise<{ windows: readonly TokenWindow[]; data: string }> {
  const contexts = [a.language?.contextLength, b?.language?.contextLength].filter((length) => length !== undefined);
  const longest = Math.min(MAX_WINDOW_TOKENS, ...contexts);
  const fallback = Math.min(WINDOW_TOKENS, longest);
  const width = inRange('windowTokens', options.windowTokens, { min: 2, max: longest, integer: true, fallback });
  const tokens = options.tokens ?? (options.text === undefined ? undefined : await tokensOf(options.text, a, options, split));
  const stride = inRange('stride', options.stride, { min: 1, max: width, integer: true, fallback: width });
  const steps = stride === width ? '' : `, one every ${stride}`;
  if (tokens) return { windows: tokenWindows(tokens, { length: width, stride, maxTokens: options.maxTokens }), data: `${options.tokens ? 'given tokens' : 'text'} in windows of ${width} tokens${steps}` };
  const vocabSize = a.language?.vocabSize ?? vocabOf(a);
  const seed = options.seed ?? 0;
  const random = Math.min(width, RANDOM_WINDOW_TOKENS);
  return { windows: randomWindows(RANDOM_WINDOWS, random, vocabSize, seed), data: `random tokens, seed ${seed}` };
}

async function tokensOf(text: string, a: ReadingModel, { tokenizer, tokenizerFolder: folder = a.folder }: LanguageOptions, split: SplitText): Promise<ArrayLike<number>> {
  if (tokenizer) return tokenizer.encode(text);
  if (folder !== undefined) return split({ folder, text });
  throw new PenjingError('E_INPUT', 'a model in memory has no tokenizer for the text', { hint: 'Give `tokenizerFolder` or `tokens`.' });
}

/** Width of the declared logits. */
export function vocabOf({ outputs }: Pick<ReadingModel, 'outputs'>): number {
  const type = outputs.find(({ name }) => name === 'logits')?.type;
  const width = type?.kind === 'tensor' ? type.shape?.at(-1) : undefined;
  if (typeof width === 'number') return width;
  throw new PenjingError('E_INPUT', 'the size of the vocabulary is not known', { hint: 'Give `text` or `tokens`.' });
}
