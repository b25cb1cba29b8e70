/** Measures one model: perplexity of a language model on text, accuracy of a classifier on labelled samples. */
import { PenjingError, type TaskOptions } from '@penjing/core';
import type { SessionOptions } from '../engine/settings.js';
import { type ModelReference, type ReferenceOptions, withModels } from '../open-reference.js';
import { type ClassScores, classScores } from './class-scores.js';
import { type LanguageOptions, scoreLanguage, type TextLosses } from './language.js';
import { runsByLayer, scoreByLayer } from './score-by-layer.js';
import { measureSamples, type SampleOptions, type Samples } from './samples.js';

export interface EvaluateOptions extends SessionOptions, TaskOptions, LanguageOptions, SampleOptions, Pick<ReferenceOptions, 'kvCache'> {
  /** Samples with labels, for classifiers. */
  readonly labelled?: Samples;
  /** Language models: run one block after the other, with one of them in memory. Where the model takes more than the memory that is free when absent. */
  readonly byLayer?: boolean;
}

export interface Evaluation {
  readonly model: { readonly name: string; readonly bytes: number };
  /** exp of the mean negative log-likelihood per token. */
  readonly perplexity?: number;
  /** Share of labelled rows that the model finds the right class of. */
  readonly accuracy?: number;
  /** Mean of the F1 of all classes (macro), as `classes` has them one by one. */
  readonly f1?: number;
  readonly classes?: ClassScores;
  /** Where in a text the model predicts well. */
  readonly losses?: TextLosses;
  /** Parts that were run one after the other, where the model was run so. */
  readonly blocks?: number;
  /** Predicted tokens, or labelled rows. */
  readonly count: number;
  readonly data: string;
  readonly seconds: number;
}

/** Throws `E_LAYOUT` for a model that is no language model when there are no samples, `E_DATA` for samples without labels. */
export async function evaluateModel(reference: ModelReference, options: EvaluateOptions): Promise<Evaluation> {
  const started = performance.now();
  if (options.kvCache && options.byLayer) throw new PenjingError('E_OPTION', 'a model that is run block by block keeps no keys and values', { hint: 'Give kvCache or byLayer.' });
  if (options.kvCache && options.labelled) throw new PenjingError('E_OPTION', 'labelled samples are run without keys and values of what was before', { hint: 'Give kvCache or labelled.' });
  if (!options.kvCache && (await runsByLayer([reference], options))) {
    const { models, scores } = await scoreByLayer([reference], options);
    const { name, bytes, blocks } = models[0]!;
    return { model: { name, bytes }, perplexity: scores.perplexityA, losses: scores.losses, blocks, count: scores.tokens, data: scores.data, seconds: (performance.now() - started) / 1000 };
  }
  return withModels([reference], { ...options, generation: options.kvCache !== undefined }, async (host, [opened]) => {
    const model = opened!;
    const facts = (): Pick<Evaluation, 'model' | 'seconds'> => ({ model: { name: model.name, bytes: model.bytes }, seconds: (performance.now() - started) / 1000 });
    if (options.labelled) {
      const { counts } = await measureSamples(host, model, undefined, options.labelled, options);
      const classes = classScores(counts.confusionA, options.classNames);
      return { accuracy: counts.rightA / counts.labelled, f1: classes.f1, classes, count: counts.labelled, data: 'labelled samples', ...facts() };
    }
    if (!model.language) {
      throw new PenjingError('E_LAYOUT', `${model.name} is not a causal language model, so it has no perplexity`, {
        hint: 'Use compareModels, which measures any model against another.',
      });
    }
    const { perplexityA, losses, tokens, data } = await scoreLanguage(host, model, undefined, options);
    return { perplexity: perplexityA, losses, count: tokens, data, ...facts() };
  });
}
