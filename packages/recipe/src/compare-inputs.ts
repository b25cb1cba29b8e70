/** What a smaller model lost: the comparison of the runtime, errors layer by layer, and a page with plots. */
import { writeFile } from 'node:fs/promises';
import { PenjingError, type TaskOptions } from '@penjing/core';
import { readText } from './data-text.js';
import type { InputComparison } from './input-comparison.js';
import { compareLayers } from './layer-errors.js';
import { loadRuntime } from './load-runtime.js';
import { readManifestRecords } from './manifest.js';
import { comparisonPage } from './report/comparison-page.js';

export interface ModelChoice {
  /** A model folder or an `.onnx` file. */
  readonly path: string;
  /** Which graph of a folder; the full-precision one when absent. */
  readonly variant?: string | undefined;
}

export interface CompareInputsOptions extends TaskOptions {
  readonly reference: ModelChoice;
  readonly model: ModelChoice;
  /** Text to predict: `.txt` or `.jsonl`. */
  readonly data?: string | undefined;
  readonly maxTokens?: number | undefined;
  /** Random inputs for models that are not language models. */
  readonly samples?: number | undefined;
  readonly threads?: number | undefined;
  /** Where to write the page. */
  readonly report?: string | undefined;
}

/** Compares `model` against `reference`. Models are only read; an existing report is replaced. */
export async function compareInputs(options: CompareInputsOptions): Promise<InputComparison> {
  const { reference, model, data, maxTokens, samples, threads, signal, onProgress, seed, report } = options;
  const runtime = await loadRuntime();
  const task: TaskOptions = { ...(signal && { signal }), ...(onProgress && { onProgress }), ...(seed !== undefined && { seed }) };
  const text = data === undefined ? undefined : await readText(data);
  const comparison = await runtime.compareModels(choose(reference), choose(model), {
    ...task,
    ...(text !== undefined && { text }),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(samples !== undefined && { samples }),
    ...(threads !== undefined && { threads }),
  });
  const [layers, weights] = await Promise.all([
    compareLayers({ reference: comparison.a.name, model: comparison.b.name, text, threads, ...task }),
    readManifestRecords(comparison.b.name),
  ]);
  const result: InputComparison = { ...comparison, layers, weights };
  if (report !== undefined) await writeReport(report, comparisonPage(result, runtime.machine()));
  return result;
}

function choose({ path, variant }: ModelChoice): { path: string; variant?: string } {
  return variant === undefined ? { path } : { path, variant };
}

export async function writeReport(path: string, html: string): Promise<void> {
  await writeFile(path, html).catch((cause: unknown) => {
    throw new PenjingError('E_OUTPUT', `the report cannot be written to ${path}`, { cause });
  });
}
