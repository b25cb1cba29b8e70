/** `--data` of a measurement: text as a whole for language models, samples with or without classes for others. */
import type { CompareOptions } from '@penjing/runtime';
import { openCalibrationData } from './calibration-data.js';
import { readText } from './data-text.js';
import type { RunnableModel } from './model-reference.js';
import type { Calibrated } from './steps/step.js';

/** How data is read, as calibrated steps read it. */
export type ReadingOptions = Pick<Calibrated, 'columns' | 'scale' | 'mean' | 'std'>;

/** Throws what the readers throw. `model` is whose inputs are fed. */
export async function evaluationData(data: string, { model, path }: RunnableModel, { samples, columns, scale, mean, std }: ReadingOptions & { readonly samples?: number | undefined }): Promise<Pick<CompareOptions, 'text' | 'labelled' | 'total'>> {
  // A text without classes is predicted as a whole, not sample by sample.
  if (/\.(txt|jsonl)$/.test(data) && (await isText(data))) return { text: await readText(data) };
  const total = samples ?? (await countOf(data, columns));
  const reading = Object.fromEntries(Object.entries({ columns, scale, mean, std }).filter(([, value]) => value !== undefined));
  const opened = await openCalibrationData({ input: { path }, data, samples: total, ...reading });
  return { labelled: opened.stream(await model()), total };
}

async function countOf(data: string, columns: readonly string[] | undefined): Promise<number> {
  const random = /^random:(\d+)$/.exec(data);
  if (random) return Number(random[1]);
  const { openData } = await import('@penjing/graph-io/data');
  await using source = await openData(data, columns ? { columns } : {});
  return source.count;
}

async function isText(data: string): Promise<boolean> {
  if (data.endsWith('.txt')) return true;
  const { openData } = await import('@penjing/graph-io/data');
  await using source = await openData(data);
  return source.count > 0 && !source.labelled && (await source.item(0)).kind === 'text';
}
