/** Measures one language model on text. */
import { PenjingError, type TaskOptions } from '@penjing/core';
import type { SessionOptions } from '../engine/settings.js';
import { type ModelReference, withModels } from '../open-reference.js';
import { type LanguageOptions, scoreLanguage } from './language.js';

export interface EvaluateOptions extends SessionOptions, TaskOptions, LanguageOptions {}

export interface Evaluation {
  readonly model: { readonly name: string; readonly bytes: number };
  /** exp of the mean negative log-likelihood per token. */
  readonly perplexity: number;
  /** Predicted tokens. */
  readonly count: number;
  readonly data: string;
  readonly seconds: number;
}

export async function evaluateModel(reference: ModelReference, options: EvaluateOptions): Promise<Evaluation> {
  const started = performance.now();
  return withModels([reference], options, async (host, [opened]) => {
    const model = opened!;
    if (!model.language) {
      throw new PenjingError('E_LAYOUT', `${model.name} is not a causal language model, so it has no perplexity`, {
        hint: 'Use compareModels, which measures any model against another.',
      });
    }
    const { perplexityA, tokens, data } = await scoreLanguage(host, model, undefined, options);
    return {
      model: { name: model.name, bytes: model.bytes },
      perplexity: perplexityA,
      count: tokens,
      data,
      seconds: (performance.now() - started) / 1000,
    };
  });
}
