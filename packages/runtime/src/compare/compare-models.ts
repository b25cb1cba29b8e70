/** Compares two models that should do the same: sizes, outputs, and for language models how well they predict. */
import type { Feeds, TaskOptions } from '@penjing/core';
import type { SessionOptions } from '../engine/settings.js';
import { type ModelReference, type OpenedReference, openReference, withModels } from '../open-reference.js';
import { type RandomFeedOptions, randomFeeds } from '../random-feeds.js';
import { SessionHost } from '../session-host.js';
import { type ClassScores, classScores } from './class-scores.js';
import type { ClassCounts } from './classes.js';
import { cosineBins } from './cosines.js';
import { type ErrorSums, snrDb } from './difference.js';
import { type KlHistogram, type LanguageOptions, type LanguageScores, scoreLanguage, type TextLosses } from './language.js';
import { type LayeredModel, runsByLayer, scoreByLayer } from './score-by-layer.js';
import { type MeasuredSamples, measureSamples, type SampleOptions, type Samples } from './samples.js';

export interface CompareOptions extends SessionOptions, TaskOptions, LanguageOptions, SampleOptions, Omit<RandomFeedOptions, 'seed'> {
  /** Inputs to compare on, for models that are not language models; seeded random ones when absent. */
  readonly feeds?: readonly Feeds[];
  /** Samples that may have labels, instead of `feeds`. */
  readonly labelled?: Samples;
  /** How many random inputs; 4 when absent. */
  readonly samples?: number;
  /** See `EvaluateOptions.byLayer`: one block of one of the two is in memory then. */
  readonly byLayer?: boolean;
}

export interface ComparedModel {
  readonly name: string;
  /** Of the model file and its external data. */
  readonly bytes: number;
  /** exp of the mean negative log-likelihood per token; language models only. */
  readonly perplexity?: number;
  /** Share of labelled rows that the model finds the right class of. */
  readonly accuracy?: number;
  /** Mean of the F1 of all classes (macro). */
  readonly f1?: number;
  readonly classes?: ClassScores;
}

export interface ComparedEmbedding {
  readonly output: string;
  readonly rows: number;
  /** Of the row that differs most. */
  readonly lowestCosine: number;
  /** Rows by 1 − cosine: item i counts those in [10^(lowest + i/perDecade), 10^(lowest + (i+1)/perDecade)), the first and the last also what is beyond. */
  readonly distances: KlHistogram;
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
  /** Share of rows where both models find the same class likeliest; samples with labels only. */
  readonly topClassAgreement?: number;
  /** Labelled rows by who has them right. */
  readonly paired?: { readonly both: number; readonly onlyA: number; readonly onlyB: number; readonly neither: number };
  /** How the KL divergence is spread over the tokens. */
  readonly klHistogram?: KlHistogram;
  /** Where in a text each model predicts well. */
  readonly losses?: TextLosses;
  /** Mean cosine of the embeddings of both, row by row; models that embed only. */
  readonly embeddingCosine?: number;
  readonly embedding?: ComparedEmbedding;
  /** Parts of the models that were run one after the other, where they were run so. */
  readonly blocks?: readonly [a: number, b: number];
  /** Predicted tokens, or input samples. */
  readonly count: number;
  /** What the models were compared on. */
  readonly data: string;
  readonly seconds: number;
}

/** Loads both models in one worker, so that only statistics leave it. */
export async function compareModels(a: ModelReference, b: ModelReference, options: CompareOptions = {}): Promise<Comparison> {
  if (await runsByLayer([a, b], options)) return compareByLayer(a, b, options);
  return withModels([a, b], sharing(options), (host, [left, right]) => compareOpened(host, left!, right!, options));
}

export interface ModelComparison extends AsyncDisposable {
  /** Compares another model with the reference, on the same inputs unless others are given. */
  readonly compare: (model: ModelReference, options?: CompareOptions) => Promise<Comparison>;
}

/** A reference that stays loaded, for many models one after the other: each is freed before the next is loaded. */
export async function openComparison(reference: ModelReference, options: CompareOptions = {}): Promise<ModelComparison> {
  const host = new SessionHost();
  try {
    const left = await openReference(host, reference, sharing(options));
    return {
      async compare(model, others = {}) {
        const all = { ...options, ...others };
        const right = await openReference(host, model, sharing(all));
        try {
          return await compareOpened(host, left, right, all);
        } finally {
          await host.call('close', { handle: right.handle });
          await right.cleanup();
        }
      },
      [Symbol.asyncDispose]: () => host.release(undefined, left.cleanup),
    };
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw error;
  }
}

/** Two sessions on one thread take turns; a pool that spins while it waits would slow down the other. */
function sharing(options: CompareOptions): CompareOptions & { spin: boolean } {
  return { ...options, spin: false };
}

async function compareOpened(host: SessionHost, left: OpenedReference, right: OpenedReference, options: CompareOptions): Promise<Comparison> {
  const started = performance.now();
  const language = left.language !== undefined && right.language !== undefined && !options.feeds && !options.labelled;
  const result = language ? await compareLanguage(host, left, right, options) : await compareOutputs(host, left, right, options);
  return comparisonOf(left, right, result, started);
}

async function compareByLayer(a: ModelReference, b: ModelReference, options: CompareOptions): Promise<Comparison> {
  const started = performance.now();
  const { models, scores } = await scoreByLayer([a, b], options);
  const [left, right] = models as [LayeredModel, LayeredModel];
  return { ...comparisonOf(left, right, comparedLanguage(scores), started), blocks: [left.blocks, right.blocks] };
}

function comparisonOf(left: ModelFacts, right: ModelFacts, result: Compared, started: number): Comparison {
  const language = result.scores !== undefined;
  const outputs = [...result.outputs].map(([name, sums]) => ({ name, snrDb: snrDb(sums), maxError: sums.maxError, elements: sums.elements }));
  return {
    kind: language ? 'language' : 'generic',
    a: { ...factsOf(left), ...perplexity(result.scores?.perplexityA), ...classFacts(result, 'A') },
    b: { ...factsOf(right), ...perplexity(result.scores?.perplexityB), ...classFacts(result, 'B') },
    sizeRatio: right.bytes / left.bytes,
    snrDb: Math.min(...outputs.map((output) => output.snrDb)),
    maxError: Math.max(0, ...outputs.map((output) => output.maxError)),
    outputs,
    ...(result.scores && languageFacts(result.scores)),
    ...(result.counts && pairedFacts(result.counts)),
    ...embeddingFacts(result.embedding),
    count: result.count,
    data: result.data,
    seconds: (performance.now() - started) / 1000,
  };
}

function languageFacts({ klDivergence, topTokenAgreement, klHistogram, losses }: LanguageScores): Pick<Comparison, 'klDivergence' | 'topTokenAgreement' | 'klHistogram' | 'losses'> {
  return { ...(klDivergence !== undefined && { klDivergence }), ...(topTokenAgreement !== undefined && { topTokenAgreement }), ...(klHistogram && { klHistogram }), losses };
}

type ModelFacts = Pick<OpenedReference, 'name' | 'bytes'>;

interface Compared {
  readonly outputs: ReadonlyMap<string, ErrorSums>;
  readonly count: number;
  readonly data: string;
  readonly scores?: LanguageScores;
  readonly counts?: ClassCounts;
  readonly classNames?: readonly string[] | undefined;
  readonly embedding?: MeasuredSamples['embedding'];
}

async function compareLanguage(host: SessionHost, a: OpenedReference, b: OpenedReference, options: CompareOptions): Promise<Compared> {
  return comparedLanguage(await scoreLanguage(host, a, b, options));
}

function comparedLanguage(scores: LanguageScores): Compared {
  return { outputs: new Map([['logits', scores.logits]]), count: scores.tokens, data: scores.data, scores };
}

async function compareOutputs(host: SessionHost, a: OpenedReference, b: OpenedReference, options: CompareOptions): Promise<Compared> {
  const { samples = 4, seed = 0, feeds, labelled } = options;
  const given: Samples = labelled ?? (feeds ?? Array.from({ length: samples }, (_, i) => randomFeeds(a.inputs, { ...options, seed: seed + i }))).map((each) => ({ feeds: each }));
  const total = options.total ?? (labelled ? 0 : (feeds?.length ?? samples));
  const measured = await measureSamples(host, a, b, given, { ...options, total });
  return { ...measured, classNames: options.classNames, data: labelled ? 'samples' : feeds ? 'given inputs' : `random inputs, seed ${seed}` };
}

/** How two models share accuracy, when there are labels. */
function pairedFacts({ labelled, rightA, rightB, onlyA, onlyB, rows, agreed }: ClassCounts): Pick<Comparison, 'topClassAgreement' | 'paired'> {
  if (rows === 0) return {};
  return {
    topClassAgreement: agreed / rows,
    ...(labelled > 0 && { paired: { both: rightA - onlyA, onlyA, onlyB, neither: labelled - rightB - onlyA } }),
  };
}

function classFacts({ counts, classNames }: Compared, which: 'A' | 'B'): Pick<ComparedModel, 'accuracy' | 'f1' | 'classes'> {
  if (!counts?.labelled) return {};
  const classes = classScores(counts[`confusion${which}`], classNames);
  return { accuracy: counts[`right${which}`] / counts.labelled, f1: classes.f1, classes };
}

function embeddingFacts(embedding: MeasuredSamples['embedding']): Pick<Comparison, 'embeddingCosine' | 'embedding'> {
  if (!embedding || embedding.cosines.rows === 0) return {};
  const { output, cosines: { rows, sum, lowest, counts } } = embedding;
  return { embeddingCosine: sum / rows, embedding: { output, rows, lowestCosine: lowest, distances: { lowest: cosineBins.lowest, perDecade: cosineBins.perDecade, counts } } };
}

const perplexity = (value: number | undefined): Pick<ComparedModel, 'perplexity'> => (value === undefined ? {} : { perplexity: value });

const factsOf = ({ name, bytes }: ModelFacts): ModelFacts => ({ name, bytes });
