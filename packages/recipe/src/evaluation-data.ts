/** `--data` of a measurement: text as a whole for language models, samples with or without classes for others. */
import { stat } from 'node:fs/promises';
import { type Model, PenjingError } from '@penjing/core';
import type { DataSource } from '@penjing/graph-io/data';
import type { CompareOptions, LabelledFeeds } from '@penjing/runtime';
import { openCalibrationData } from './calibration-data.js';
import { readText } from './data-text.js';
import { modelInputs } from './feeds/model-inputs.js';
import { encodeItem, tokenFeeds, tokenLength, WINDOW_TOKENS } from './feeds/text-feeds.js';
import { classNamesOf } from './class-names.js';
import { modelFolder } from './layer-errors.js';
import { loadRuntime } from './load-runtime.js';
import type { RunnableModel } from './model-reference.js';
import type { Calibrated } from './steps/step.js';

/** How data is read, as calibrated steps read it. */
export type ReadingOptions = Pick<Calibrated, 'columns' | 'scale' | 'mean' | 'std'>;

type Measured = Pick<CompareOptions, 'text' | 'labelled' | 'total' | 'classNames'>;

/** Throws what the readers throw, and `E_DATA` for a class that the model has not. `runnable` is whose inputs are fed. */
export async function evaluationData(data: string, runnable: RunnableModel, { samples, columns, scale, mean, std }: ReadingOptions & { readonly samples?: number | undefined }): Promise<Measured> {
  // A text without classes is predicted as a whole by a model that predicts tokens, not sample by sample.
  const isText = await holdsText(data, columns);
  const long = isText && /\.(txt|jsonl)$/.test(data);
  // Of a folder with several graphs one is chosen later: what such folders hold is language models.
  if (long && (await runnable.model().then(predicts, () => true))) return { text: await readText(data) };
  const model = await runnable.model();
  if (isText) return texts(data, model, runnable, { samples, columns });
  const total = samples ?? (await countOf(data, columns));
  const reading = Object.fromEntries(Object.entries({ columns, scale, mean, std }).filter(([, value]) => value !== undefined));
  const opened = await openCalibrationData({ input: { path: runnable.path }, data, samples: total, ...reading });
  if (!opened.labelled || !opened.classes) return { labelled: opened.stream(model), total };
  const classes = await classNamesOf(runnable.path, opened.classes, data);
  return { labelled: relabelled(opened.stream(model), classes.indices), total, classNames: classes.names };
}

/** Scores of the next token at each position. */
const predicts = ({ graph }: Model): boolean => graph.inputs.some(({ name }) => name === 'input_ids') && graph.outputs.some(({ name }) => name === 'logits');

/** Texts without classes one by one, for models that give one result for each: a single long one is as many as it has lines. */
async function texts(data: string, model: Model, { path, tokenizerFolder }: RunnableModel, { samples, columns }: Pick<ReadingOptions, 'columns'> & { readonly samples?: number | undefined }): Promise<Measured> {
  const { openData } = await import('@penjing/graph-io/data');
  const { loadTokenizer } = await loadRuntime();
  await using source = await openData(data, columns ? { columns } : {});
  const all: string[] = [];
  for (let i = 0; i < source.count; i++) all.push(...textsOf(await source.item(i), source.count === 1));
  if (all.length === 0) throw new PenjingError('E_DATA', `the data ${data} holds no text`);
  const taken = Math.min(samples ?? all.length, all.length);
  const inputs = modelInputs(model);
  const fixed = tokenLength(inputs);
  const tokenizer = await loadTokenizer(tokenizerFolder ?? ((await stat(path)).isDirectory() ? path : modelFolder(path)));
  async function* stream(): AsyncGenerator<LabelledFeeds> {
    const most = fixed ?? Math.min(WINDOW_TOKENS, tokenizer.maxLength ?? WINDOW_TOKENS);
    for (let i = 0; i < taken; i++) yield { feeds: await tokenFeeds(inputs, encodeItem(tokenizer, all[Math.floor((i * all.length) / taken)]!, most), fixed) };
  }
  return { labelled: stream(), total: taken };
}

function textsOf(item: Awaited<ReturnType<DataSource['item']>>, only: boolean): readonly string[] {
  if (item.kind === 'pair') return item.texts;
  if (item.kind !== 'text') throw new PenjingError('E_DATA', `an item of the data is ${item.kind}, the first one was text`);
  return only ? item.text.split('\n').filter((line) => line.trim() !== '') : [item.text];
}

async function* relabelled(samples: AsyncIterable<LabelledFeeds>, indices: readonly number[]): AsyncGenerator<LabelledFeeds> {
  for await (const { feeds, labels } of samples) yield { feeds, ...(labels && { labels: labels.map((label) => indices[label] ?? label) }) };
}

async function countOf(data: string, columns: readonly string[] | undefined): Promise<number> {
  const random = /^random:(\d+)$/.exec(data);
  if (random) return Number(random[1]);
  const { openData } = await import('@penjing/graph-io/data');
  await using source = await openData(data, columns ? { columns } : {});
  return source.count;
}

/** Text or pairs of texts, without classes. */
async function holdsText(data: string, columns: readonly string[] | undefined): Promise<boolean> {
  if (data.startsWith('random:')) return false;
  if (data.endsWith('.txt')) return true;
  const { openData } = await import('@penjing/graph-io/data');
  await using source = await openData(data, columns ? { columns } : {});
  return source.count > 0 && !source.labelled && /^(text|pair)$/.test((await source.item(0)).kind);
}
