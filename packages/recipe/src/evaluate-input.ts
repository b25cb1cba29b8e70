/** How good a model is: perplexity on text, accuracy on labelled samples, and what it lost against a reference when there is one. */
import { PenjingError, type TaskOptions } from '@penjing/core';
import type { ClassScores, ComparedEmbedding, ComparedModel, Device, TextLosses } from '@penjing/runtime';
import { compareInputs, measuringOptions, tokenizerOf } from './compare-inputs.js';
import { evaluationData, type ReadingOptions } from './evaluation-data.js';
import type { LayerError } from './layer-errors.js';
import { loadRuntime } from './load-runtime.js';
import { type ModelChoice, runnableModel } from './model-reference.js';
import { writeReport } from './report/write-report.js';

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
  /** Where the models run; the CPU when absent. */
  readonly device?: Device | undefined;
  /** Keys and values in bytes, as `loadGenerator` can keep them; of a converted model alone. */
  readonly kvCache?: 'int8' | undefined;
  /** Where to write the page. */
  readonly report?: string | undefined;
}

/** Figures by the names that every command reports them under; those that mean nothing for a model are absent. */
export interface InputEvaluation {
  readonly model: { readonly name: string; readonly bytes: number };
  readonly perplexity?: number;
  readonly accuracy?: number;
  /** Mean of the F1 of all classes (macro). */
  readonly f1?: number;
  readonly classes?: ClassScores;
  /** Where in a text the model predicts well; without a reference only the sums of a. */
  readonly losses?: TextLosses;
  /** Against the reference, as are those below. */
  readonly klDivergence?: number;
  readonly topTokenAgreement?: number;
  readonly topClassAgreement?: number;
  readonly embeddingCosine?: number;
  readonly embedding?: ComparedEmbedding;
  /** Error of the activations after each block, in order. */
  readonly layers?: readonly LayerError[];
  readonly snrDb?: number;
  readonly maxError?: number;
  /** Parts that the model was run in, one after the other. */
  readonly blocks?: number;
  readonly reference?: ComparedModel;
  /** Predicted tokens, or rows. */
  readonly count: number;
  readonly data: string;
  readonly seconds: number;
}

/** Throws `E_LAYOUT` for a model that text says nothing about when there is no reference, and what the readers throw, `E_OPTION` for `kvCache` beside a reference. */
export async function evaluateInput({ model, reference, data, report, kvCache, ...options }: EvaluateInputOptions): Promise<InputEvaluation> {
  if (reference && kvCache) throw new PenjingError('E_OPTION', 'models that are compared keep keys and values as they say', { hint: 'Give kvCache or a reference.' });
  if (reference) return comparedTo({ ...options, data, report, model, reference });
  const { evaluateModel, machine } = await loadRuntime();
  const runnable = await runnableModel(model, options.signal);
  const measured = await evaluationData(data, runnable, options);
  const result = await evaluateModel(runnable.reference, { ...measuringOptions(options), ...measured, ...tokenizerOf(runnable), kvCache });
  if (report !== undefined) {
    const { evaluationPage } = await import('./report/evaluation-page.js');
    await writeReport(report, evaluationPage(result, machine()));
  }
  return result;
}

async function comparedTo(options: Parameters<typeof compareInputs>[0]): Promise<InputEvaluation> {
  const { kind: _kind, a, b, sizeRatio: _ratio, outputs: _outputs, klHistogram: _histogram, paired: _paired, weights: _weights, blocks, ...figures } = await compareInputs(options);
  const { name, bytes, ...own } = b;
  return { model: { name, bytes }, ...own, ...figures, ...(blocks && { blocks: blocks[1] }), reference: a };
}
