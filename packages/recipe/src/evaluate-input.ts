/** How good a model is: perplexity on text, accuracy on labelled samples, and what it lost against a reference when there is one. */
import { PenjingError, type TaskOptions } from '@penjing/core';
import { compareInputs, measuringOptions, tokenizerOf } from './compare-inputs.js';
import { evaluationData, type ReadingOptions } from './evaluation-data.js';
import { loadRuntime } from './load-runtime.js';
import { type ModelChoice, runnableModel } from './model-reference.js';

export interface EvaluateInputOptions extends TaskOptions, ReadingOptions {
  readonly model: ModelChoice;
  /** What it is measured against; without one there are no differences to report. */
  readonly reference?: ModelChoice | undefined;
  readonly data: string;
  readonly maxTokens?: number | undefined;
  /** Text: tokens of a window, and from the beginning of one to that of the next. */
  readonly windowTokens?: number | undefined;
  readonly stride?: number | undefined;
  /** Run one block after the other; where the model takes more than the memory that is free when absent. */
  readonly byLayer?: boolean | undefined;
  readonly samples?: number | undefined;
  readonly threads?: number | undefined;
  /** Where to write the page; with a reference only. */
  readonly report?: string | undefined;
}

/** Figures by the names that every command reports them under; those that mean nothing for a model are absent. */
export interface InputEvaluation {
  readonly model: { readonly name: string; readonly bytes: number };
  readonly perplexity?: number;
  readonly accuracy?: number;
  /** Against the reference, as are those below. */
  readonly klDivergence?: number;
  readonly topTokenAgreement?: number;
  readonly topClassAgreement?: number;
  readonly snrDb?: number;
  readonly maxError?: number;
  /** Parts that the model was run in, one after the other. */
  readonly blocks?: number;
  readonly reference?: { readonly name: string; readonly bytes: number; readonly perplexity?: number; readonly accuracy?: number };
  /** Predicted tokens, or rows. */
  readonly count: number;
  readonly data: string;
  readonly seconds: number;
}

/** Throws `E_LAYOUT` for a model that text says nothing about when there is no reference, and what the readers throw. */
export async function evaluateInput({ model, reference, data, report, ...options }: EvaluateInputOptions): Promise<InputEvaluation> {
  if (reference) return comparedTo({ ...options, data, report, model, reference });
  if (report !== undefined) throw new PenjingError('E_OPTION', 'a page is written of a comparison', { hint: 'Give --reference, or leave out --report.' });
  const { evaluateModel } = await loadRuntime();
  const runnable = await runnableModel(model, options.signal);
  const measured = await evaluationData(data, runnable, options);
  return evaluateModel(runnable.reference, { ...measuringOptions(options), ...measured, ...(measured.text !== undefined && (await tokenizerOf(runnable))) });
}

async function comparedTo(options: Parameters<typeof compareInputs>[0]): Promise<InputEvaluation> {
  const { a, b, klDivergence, topTokenAgreement, topClassAgreement, snrDb, maxError, blocks, count, data, seconds } = await compareInputs(options);
  const { perplexity, accuracy, ...model } = b;
  return {
    model,
    ...(perplexity !== undefined && { perplexity }),
    ...(accuracy !== undefined && { accuracy }),
    ...(klDivergence !== undefined && { klDivergence }),
    ...(topTokenAgreement !== undefined && { topTokenAgreement }),
    ...(topClassAgreement !== undefined && { topClassAgreement }),
    ...(blocks && { blocks: blocks[1] }),
    snrDb, maxError, reference: a, count, data, seconds,
  };
}
