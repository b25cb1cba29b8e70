/** Generation options: their meaning, their ranges, their defaults. */
import { PenjingError } from '@penjing/core';
import type { Constraint } from '../constrain/constraint.js';
import { inRange, type Range } from './range.js';
import type { SamplingParams } from './sampler.js';

export interface GenerateOptions {
  /** Most tokens to generate; 256, or what the context leaves, when absent. */
  readonly maxNewTokens?: number;
  /** 0, the default, always takes the most likely token. */
  readonly temperature?: number;
  /** Sample among the k most likely tokens; 0 (default) is no limit. */
  readonly topK?: number;
  /** Sample among the most likely tokens that together have this probability; 1 (default) is no limit. */
  readonly topP?: number;
  /** Sample among tokens at least this fraction as likely as the likeliest; 0 (default) is no limit. */
  readonly minP?: number;
  /** Above 1 makes tokens that occurred less likely; 1 is the default. */
  readonly repetitionPenalty?: number;
  /** Above 0 makes tokens less likely each time they are written, below 0 likelier; 0 is the default, the prompt does not count. */
  readonly frequencyPenalty?: number;
  /** Above 0 makes tokens less likely once they were written; 0 is the default. */
  readonly presencePenalty?: number;
  /** Added to the logits of single tokens: -100 as good as forbids one, 100 as good as demands it. */
  readonly logitBias?: ReadonlyMap<number, number>;
  /** Tells log-probabilities of the tokens that are drawn and of this many of the likeliest at each place (0 to 20). */
  readonly logProbabilities?: number;
  /** Same seed, same text; 0 when absent. */
  readonly seed?: number;
  /** Up to 64 texts that end the generation; they are not part of the result, and empty ones do not count. */
  readonly stop?: readonly string[];
  /** Tokens that end the generation, besides those of the model's configuration. */
  readonly stopTokens?: readonly number[];
  /**
   * Holds the text to a JSON schema, a regular expression or a grammar; tokens that end it are drawn only where it may end. A text that `maxNewTokens` or `stop` ends before is the
   * beginning of a right one. Throws `E_GRAMMAR` for what is wrong, cannot be held to, or takes too long.
   */
  readonly constrain?: Constraint;
  /**
   * Guesses up to `tokens` tokens at a time (4 when absent, 1 to 15), which the model then reads in one run: from what followed the same `ngram` tokens before (2 to 32), or from a draft model,
   * a folder with a smaller model of the same tokens. The text is the one without it; `speculation` of the result says how many guesses were right.
   */
  readonly speculate?: Speculate;
  /** Goes on past the model's own end token. */
  readonly ignoreEndToken?: boolean;
  /** Cancels at the next token; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called with each piece of text as it comes. */
  readonly onText?: (text: string) => void;
}

export type Speculate = { readonly tokens?: number } & ({ readonly ngram: number; readonly draft?: never } | { readonly draft: string; readonly ngram?: never });

const ranges = {
  temperature: { min: 0, max: 100, fallback: 0 },
  topK: { min: 0, max: 2 ** 31, integer: true, fallback: 0 },
  topP: { min: Number.MIN_VALUE, max: 1, fallback: 1 },
  minP: { min: 0, max: 1, fallback: 0 },
  repetitionPenalty: { min: 0.01, max: 100, fallback: 1 },
  frequencyPenalty: { min: -100, max: 100, fallback: 0 },
  presencePenalty: { min: -100, max: 100, fallback: 0 },
  seed: { min: 0, max: 2 ** 32 - 1, integer: true, fallback: 0 },
} as const satisfies Readonly<Record<Exclude<keyof SamplingParams, 'logitBias' | 'logProbabilities'>, Range>>;

/** Throws `E_OPTION` naming the option and what it may be. */
export function samplingParams(options: GenerateOptions): SamplingParams {
  const names = Object.keys(ranges) as (keyof typeof ranges)[];
  const numbers = Object.fromEntries(names.map((name) => [name, inRange(name, options[name], ranges[name])])) as Record<keyof typeof ranges, number>;
  const { logProbabilities } = options;
  const logitBias = [...(options.logitBias ?? [])].map(([token, bias]) => [
    inRange('a token of logitBias', token, { min: 0, max: 2 ** 31, integer: true, fallback: 0 }), inRange(`logitBias of ${token}`, bias, { min: -100, max: 100, fallback: 0 }),
  ] as const);
  return { ...numbers, logitBias, logProbabilities: logProbabilities === undefined ? undefined : inRange('logProbabilities', logProbabilities, { min: 0, max: 20, integer: true, fallback: 0 }) };
}

/** Throws `E_OPTION` naming the option and what it may be; `vocabSize` is how many tokens there are. */
export function checkedStops({ stop = [], stopTokens = [] }: GenerateOptions, vocabSize: number): { readonly stop: readonly string[]; readonly stopTokens: readonly number[] } {
  inRange('the number of texts in stop', stop.length, { min: 0, max: 64, integer: true, fallback: 0 });
  for (const text of stop) {
    if (typeof text !== 'string') throw new PenjingError('E_OPTION', `stop has ${String(text)}; it must be texts of up to ${LONGEST_STOP} characters`);
    inRange('the length of a text in stop', text.length, { min: 0, max: LONGEST_STOP, integer: true, fallback: 0 });
  }
  for (const token of stopTokens) inRange('a token of stopTokens', token, { min: 0, max: vocabSize - 1, integer: true, fallback: 0 });
  return { stop: stop.filter((text) => text !== ''), stopTokens };
}

/** Every new piece of text is compared with all beginnings of these. */
const LONGEST_STOP = 1024;

/** Throws `E_OPTION` naming the number and what it may be. */
export function guessedTokens({ tokens, ngram, draft }: Speculate): number {
  if ((ngram === undefined) === (draft === undefined)) throw new PenjingError('E_OPTION', `speculate has ${ngram === undefined ? 'neither ngram nor' : 'both ngram and'} draft; it must have one of them`);
  if (ngram !== undefined) inRange('speculate.ngram', ngram, { min: 2, max: 32, integer: true, fallback: 2 });
  return inRange('speculate.tokens', tokens, { min: 1, max: 15, integer: true, fallback: 4 });
}

/** How many texts may be asked for at once, as in OpenAI's interface. */
const MOST_CHOICES = 128;

/** The seed of each of several texts of one prompt, all different; the first is the seed itself. Throws `E_OPTION` for a count out of range. */
export function choiceSeeds(seed: number | undefined, count: number): readonly number[] {
  const first = inRange('seed', seed, ranges.seed);
  // An odd step visits each of 2^32 seeds once (the golden ratio's, as in splitmix).
  return Array.from({ length: inRange('the number of choices', count, { min: 1, max: MOST_CHOICES, integer: true, fallback: 1 }) }, (_, i) => (first + Math.imul(i, 0x9e3779b9)) >>> 0);
}

const DEFAULT_NEW_TOKENS = 256;

/** How many tokens may be generated after a prompt. Throws `E_CONTEXT` when they do not fit: nothing is cut silently. */
export function tokenBudget(promptTokens: number, wanted: number | undefined, context: number | undefined): number {
  const room = context === undefined ? Infinity : context - promptTokens;
  const limit = wanted === undefined ? undefined : inRange('maxNewTokens', wanted, { min: 1, max: 2 ** 31, integer: true, fallback: 1 });
  if (room < (limit ?? 1)) {
    throw new PenjingError('E_CONTEXT', `the prompt has ${promptTokens} tokens${limit === undefined ? '' : ` and ${limit} are to follow`}, but the model's context is ${context}`, {
      hint: 'Shorten the prompt, or ask for fewer new tokens.',
      details: { promptTokens, context },
    });
  }
  return limit ?? Math.min(DEFAULT_NEW_TOKENS, room);
}
