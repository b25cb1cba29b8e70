/** Compares two models that should do the same: sizes, outputs, and for language models how well they predict. */
import type { Feeds, TaskOptions } from '@penjing/core';
import { checkFeeds } from '../engine/feeds.js';
import type { SessionOptions } from '../engine/settings.js';
import { buffersOf, toWire } from '../engine/wire.js';
import { type ModelReference, type OpenedReference, withModels } from '../open-reference.js';
import { type RandomFeedOptions, randomFeeds } from '../random-feeds.js';
import type { SessionHost } from '../session-host.js';
import { type ErrorSums, errorSums, mergeErrors, snrDb } from './difference.js';
import { type KlHistogram, type LanguageOptions, type LanguageScores, scoreLanguage } from './language.js';

export interface CompareOptions extends SessionOptions, TaskOptions, LanguageOptions, Omit<RandomFeedOptions, 'seed'> {
  /** Inputs to compare on, for models that are not language models; seeded random ones when absent. */
  readonly feeds?: readonly Feeds[];
  /** How many random inputs; 4 when absent. */
  readonly samples?: number;
}

export interface ComparedModel {
  readonly name: string;
  /** Of the model file and its external data. */
  readonly bytes: number;
  /** exp of the mean negative log-likelihood per token; language models only. */
  readonly perplexity?: number;
}

export interface ComparedOutput {
  readonly name: string;
  readonly snrDb: number;
  readonly maxError: number;
  readonly elements: number;
}

/** `b` against the reference `a`. */
export interface Comparison {
  readonly kind: 'language' | 'generic';
  readonly a: ComparedModel;
  readonly b: ComparedModel;
  /** Size of `b` as a share of `a`. */
  readonly sizeRatio: number;
  /** Lowest signal-to-noise ratio of any output; Infinity when all are equal. */
  readonly snrDb: number;
  /** Largest absolute difference of any output element. */
  readonly maxError: number;
  readonly outputs: readonly ComparedOutput[];
  /** Mean KL(a ‖ b) of the next-token distributions, nats per token. */
  readonly klDivergence?: number;
  /** Share of positions where both models find the same token likeliest. */
  readonly topTokenAgreement?: number;
  /** How the KL divergence is spread over the tokens. */
  readonly klHistogram?: KlHistogram;
  /** Predicted tokens, or input samples. */
  readonly count: number;
  /** What the models were compared on. */
  readonly data: string;
  readonly seconds: number;
}

/** Loads both models in one worker, so that only statistics leave it. */
export async function compareModels(a: ModelReference, b: ModelReference, options: CompareOptions = {}): Promise<Comparison> {
  const started = performance.now();
  // Two sessions on one thread take turns; a pool that spins while it waits would slow down the other.
  return withModels([a, b], { ...options, spin: false }, async (host, opened) => {
    const [left, right] = opened as readonly [OpenedReference, OpenedReference];
    const language = left.language !== undefined && right.language !== undefined && !options.feeds;
    const result = language ? await compareLanguage(host, left, right, options) : await compareOutputs(host, left, right, options);
    const outputs = [...result.outputs].map(([name, sums]) => ({ name, snrDb: snrDb(sums), maxError: sums.maxError, elements: sums.elements }));
    return {
      kind: language ? 'language' : 'generic',
      a: modelFacts(left, result.scores?.perplexityA),
      b: modelFacts(right, result.scores?.perplexityB),
      sizeRatio: right.bytes / left.bytes,
      snrDb: Math.min(...outputs.map((output) => output.snrDb)),
      maxError: Math.max(0, ...outputs.map((output) => output.maxError)),
      outputs,
      ...(result.scores && languageFacts(result.scores)),
      count: result.count,
      data: result.data,
      seconds: (performance.now() - started) / 1000,
    };
  });
}

function languageFacts({ klDivergence, topTokenAgreement, klHistogram }: LanguageScores): Pick<Comparison, 'klDivergence' | 'topTokenAgreement' | 'klHistogram'> {
  return { klDivergence, topTokenAgreement, klHistogram };
}

interface Compared {
  readonly outputs: ReadonlyMap<string, ErrorSums>;
  readonly count: number;
  readonly data: string;
  readonly scores?: LanguageScores;
}

async function compareLanguage(host: SessionHost, a: OpenedReference, b: OpenedReference, options: CompareOptions): Promise<Compared> {
  const scores = await scoreLanguage(host, a, b, options);
  return { outputs: new Map([['logits', scores.logits]]), count: scores.tokens, data: scores.data, scores };
}

async function compareOutputs(host: SessionHost, a: OpenedReference, b: OpenedReference, options: CompareOptions): Promise<Compared> {
  const { samples = 4, seed = 0, signal, onProgress } = options;
  const all = options.feeds ?? Array.from({ length: samples }, (_, i) => randomFeeds(a.inputs, { ...options, seed: seed + i }));
  const shared = a.outputs.map(({ name }) => name).filter((name) => b.outputs.some((output) => output.name === name));
  const sums = new Map(shared.map((name) => [name, errorSums()]));
  for (const [index, feeds] of all.entries()) {
    checkFeeds(a.inputs, feeds);
    checkFeeds(b.inputs, feeds);
    const tensors = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toWire(name, tensor)]));
    const differences = await host.call(
      'difference',
      { a: a.handle, b: b.handle, feeds: tensors, outputs: shared },
      { transfer: buffersOf(tensors), ...(signal ? { signal } : {}) },
    );
    for (const difference of differences) mergeErrors(sums.get(difference.name)!, difference);
    onProgress?.({ phase: 'compare', done: index + 1, total: all.length, unit: 'samples' });
  }
  return { outputs: sums, count: all.length, data: options.feeds ? 'given inputs' : `random inputs, seed ${seed}` };
}

function modelFacts({ name, bytes }: OpenedReference, perplexity: number | undefined): ComparedModel {
  return { name, bytes, ...(perplexity === undefined ? {} : { perplexity }) };
}
