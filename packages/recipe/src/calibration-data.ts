/** `--data` as the feeds of a model: text through its tokenizer, pictures, sounds and arrays in the shape that it reads. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Feeds, type Model, PenjingError } from '@penjing/core';
import type { DataSource } from '@penjing/graph-io/data';
import type { LabelledFeeds } from '@penjing/runtime';
import { arrayFeeds } from './feeds/array-feeds.js';
import { type ModelInputs, modelInputs } from './feeds/model-inputs.js';
import { type Normalisation, pictureFeeds } from './feeds/picture-feeds.js';
import { soundFeeds } from './feeds/sound-feeds.js';
import { encodeItem, tokenFeeds, tokenLength, textWindows, WINDOW_TOKENS } from './feeds/text-feeds.js';
import type { Input } from './inputs/input.js';
import { loadRuntime } from './load-runtime.js';

/** Samples when nobody says how many, as the papers of GPTQ and SparseGPT have them. */
const SAMPLES = 128;

export interface CalibrationData {
  /** Of the content, the part of it that is used, and how: a run cut off may go on only with the same. */
  readonly hash: string;
  /** Random numbers: whatever is measured on them means nothing, and reports say so. */
  readonly synthetic: boolean;
  /** Every sample has a class. */
  readonly labelled: boolean;
  /** Names of the classes, where the data has names. */
  readonly classes: readonly string[] | undefined;
  /** The feeds for a model, one by one, with their classes. Throws `E_DATA` for a model that the data does not fit. */
  readonly stream: (model: Model) => AsyncIterable<LabelledFeeds>;
}

export interface CalibrationDataOptions extends Normalisation {
  /** Whose tokenizer reads text. */
  readonly input: Pick<Input, 'path'>;
  /** What `openData` takes, or `random:N` for N samples of random numbers. */
  readonly data: string;
  /** At most so many samples, at even distances over the data; 128 when absent. */
  readonly samples?: number | undefined;
  /** Columns of a table. */
  readonly columns?: readonly string[] | undefined;
}

/** Opens the data; the tokenizer only when samples are asked for. Throws `E_NOT_FOUND`, `E_DATA`, `E_LIMIT`. */
export async function openCalibrationData(options: CalibrationDataOptions): Promise<CalibrationData> {
  const { data, samples = SAMPLES, columns, scale, mean, std } = options;
  const random = /^random:(\d{1,6})$/.exec(data);
  if (random) return randomData(Math.min(Number(random[1]), options.samples ?? Infinity));
  const { openData } = await import('@penjing/graph-io/data');
  const source = await openData(data, columns ? { columns } : {});
  if (source.count === 0) throw new PenjingError('E_DATA', `the data ${data} is empty`);
  const stream = (model: Model): AsyncIterable<LabelledFeeds> => feedsOf(source, modelInputs(model), { ...options, samples });
  return {
    hash: createHash('sha256').update(JSON.stringify([source.hash, samples, scale, mean, std])).digest('hex'),
    synthetic: false, labelled: source.labelled, classes: source.classes, stream,
  };
}

type FeedOptions = CalibrationDataOptions & { readonly samples: number };

async function* feedsOf(source: DataSource, inputs: ModelInputs, options: FeedOptions): AsyncGenerator<LabelledFeeds> {
  const first = await source.item(0);
  if (first.kind === 'text' || first.kind === 'pair') {
    yield* textFeeds(source, inputs, options);
    return;
  }
  const taken = Math.min(options.samples, source.count);
  let left = options.samples;
  for (let i = 0; i < taken && left > 0; i++) {
    const index = Math.floor((i * source.count) / taken);
    const item = await source.item(index);
    const labels = item.label === undefined ? {} : { labels: [item.label] };
    // A long sound gives many samples.
    for (const feeds of item.kind === 'sound' ? soundFeeds(inputs, item.sound) : [feedsOfItem(item, inputs, options, `sample ${index}`)]) {
      if (left-- > 0) yield { feeds, ...labels };
    }
  }
}

function feedsOfItem(item: Awaited<ReturnType<DataSource['item']>>, inputs: ModelInputs, options: FeedOptions, where: string): Feeds {
  if (item.kind === 'tensors') return arrayFeeds(inputs, item.tensors, where);
  if (item.kind === 'picture') return pictureFeeds(inputs, item.picture, options);
  throw new PenjingError('E_DATA', `${where} is ${item.kind}, the first one was something else`);
}

/** Texts with classes are samples of their own; others are one long text, cut into windows. */
async function* textFeeds(source: DataSource, inputs: ModelInputs, { input, samples }: FeedOptions): AsyncGenerator<LabelledFeeds> {
  const fixed = tokenLength(inputs);
  const { loadTokenizer } = await loadRuntime();
  const folder = (await stat(input.path)).isDirectory() ? input.path : dirname(input.path);
  const tokenizer = await loadTokenizer(folder);
  const length = fixed ?? WINDOW_TOKENS;
  // a pair shows what its first text does
  if (source.labelled || (await source.item(0)).kind === 'pair') {
    const taken = Math.min(samples, source.count);
    for (let i = 0; i < taken; i++) {
      const item = await source.item(Math.floor((i * source.count) / taken));
      if (item.kind === 'text') yield { feeds: await tokenFeeds(inputs, encodeItem(tokenizer, item.text, length), fixed), labels: [item.label!] };
      if (item.kind === 'pair') yield { feeds: await tokenFeeds(inputs, encodeItem(tokenizer, item.texts[0], length), fixed) };
    }
    return;
  }
  const texts: string[] = [];
  for (let i = 0; i < source.count; i++) {
    const item = await source.item(i);
    if (item.kind !== 'text') throw new PenjingError('E_DATA', `item ${i} of the data is no text, the first one was`);
    texts.push(item.text);
  }
  for (const window of textWindows(tokenizer, texts.join('\n'), samples, length)) yield { feeds: await tokenFeeds(inputs, window, fixed) };
}

function randomData(count: number): CalibrationData {
  if (count < 1) throw new PenjingError('E_DATA', 'random:0 gives no samples');
  async function* stream(model: Model): AsyncGenerator<LabelledFeeds> {
    const { randomFeeds } = await loadRuntime();
    const { infos } = modelInputs(model);
    for (let seed = 0; seed < count; seed++) yield { feeds: randomFeeds(infos, { seed }) };
  }
  return { hash: `random:${count}`, synthetic: true, labelled: false, classes: undefined, stream };
}
