/** What a smaller model lost: the comparison of the runtime, errors layer by layer, and a page with plots. */
import type { Model, TaskOptions } from '@penjing/core';
import type { CompareOptions, Device } from '@penjing/runtime';
import { evaluationData, type ReadingOptions } from './evaluation-data.js';
import type { InputComparison } from './input-comparison.js';
import { compareLayers } from './layer-errors.js';
import { loadRuntime } from './load-runtime.js';
import { readManifestRecords } from './manifest.js';
import { type ModelChoice, type RunnableModel, runnableModel } from './model-reference.js';
import { writeReport } from './report/write-report.js';

export interface CompareInputsOptions extends TaskOptions, ReadingOptions {
  readonly reference: ModelChoice;
  readonly model: ModelChoice;
  /** Text to predict, or samples of anything that is read. */
  readonly data?: string | undefined;
  readonly maxTokens?: number | undefined;
  /** Text: tokens of a window, and from the beginning of one to that of the next. */
  readonly windowTokens?: number | undefined;
  readonly stride?: number | undefined;
  /** Run one block after the other; where the models take more than the memory that is free when absent. */
  readonly byLayer?: boolean | undefined;
  /** Random inputs for models that are not language models. */
  readonly samples?: number | undefined;
  readonly threads?: number | undefined;
  /** Where the models run; the CPU when absent. */
  readonly device?: Device | undefined;
  /** Where to write the page. */
  readonly report?: string | undefined;
}

/** Compares `model` against `reference`, each a graph or a checkpoint that becomes one. Models are only read; an existing report is replaced. */
export async function compareInputs(options: CompareInputsOptions): Promise<InputComparison> {
  const { reference, model, data, threads, device, signal, report } = options;
  const runtime = await loadRuntime();
  const [a, b] = await Promise.all([runnableModel(reference, signal), runnableModel(model, signal)]);
  const measured = data === undefined ? {} : await evaluationData(data, a, options);
  const { text } = measured;
  const comparison = await runtime.compareModels(a.reference, b.reference, {
    ...measuringOptions(options),
    ...measured,
    ...tokenizerOf(a),
  });
  const graph = ({ reference }: RunnableModel, name: string): string | Model => (typeof reference === 'object' && 'graph' in reference ? reference : name);
  const layers = comparison.blocks ? [] : await compareLayers({ reference: graph(a, comparison.a.name), model: graph(b, comparison.b.name), tokenizerFolder: a.tokenizerFolder, text, threads, device, ...taskOf(options) });
  // Weights are remembered of graphs on disk.
  const weights = b.tokenizerFolder !== undefined ? [] : await readManifestRecords(comparison.b.name);
  const result: InputComparison = { ...comparison, layers, weights };
  if (report !== undefined) {
    const { comparisonPage } = await import('./report/comparison-page.js');
    await writeReport(report, comparisonPage(result, runtime.machine()));
  }
  return result;
}

const taskOf = ({ signal, onProgress, seed }: TaskOptions): TaskOptions => ({ ...(signal && { signal }), ...(onProgress && { onProgress }), ...(seed !== undefined && { seed }) });

/** What the runtime is told of how to measure, besides the data. */
export function measuringOptions({ maxTokens, windowTokens, stride, byLayer, samples, threads, device, ...others }: Omit<CompareInputsOptions, 'reference' | 'model'>): CompareOptions {
  const given = Object.entries({ maxTokens, windowTokens, stride, byLayer, samples, threads, device }).filter(([, value]) => value !== undefined);
  return { ...taskOf(others), ...(Object.fromEntries(given) as CompareOptions) };
}

export const tokenizerOf = ({ tokenizerFolder }: RunnableModel): Pick<CompareOptions, 'tokenizerFolder'> => (tokenizerFolder === undefined ? {} : { tokenizerFolder });
