/** `--data` as the columns that a model is trained on: windows of text, texts with their classes, pictures and arrays with theirs. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DenseTensor, denseOf, dtypes, type Feeds, type Model, PenjingError, type TaskOptions, type Value } from '@penjing/core';
import { IGNORED_LABEL } from '@penjing/distill';
import type { DataSource } from '@penjing/graph-io/data';
import type { Tokenizer } from '@penjing/runtime';
import { arrayFeeds } from '../feeds/array-feeds.js';
import { type ModelInputs, modelInputs } from '../feeds/model-inputs.js';
import { type Normalisation, pictureFeeds } from '../feeds/picture-feeds.js';
import { encodeItem, tokenLength } from '../feeds/text-feeds.js';
import { loadRuntime } from '../load-runtime.js';
import { embeddedColumns, EMBEDDING, embeds } from './embedded-data.js';
import { besideTokens, tokenColumns } from './token-columns.js';
import { tokenStream, trainingWindows } from './token-stream.js';

/** How data are read, as plain data. */
export interface TrainingReading extends Normalisation {
  /** Columns of a table. */
  readonly columns?: readonly string[] | undefined;
  /** Tokens of a window, or the longest text with a class. */
  readonly length?: number | undefined;
  /** Whose tokenizer reads text. */
  readonly input: { readonly path: string };
}

export interface TrainingDataOptions extends TrainingReading, TaskOptions {
  readonly data: string;
}

/** What of a model decides how data are read for it, as plain data. */
export interface TrainedModel {
  readonly inputs: ModelInputs;
  readonly outputs: readonly string[];
  /** Undefined where no output can be it. */
  readonly scores: Scores | undefined;
}

export interface TrainingData {
  readonly size: number;
  /** Tokens that follow, classes, pairs of texts that mean the same, or texts that a teacher embeds. */
  readonly task: 'language' | 'classes' | 'pairs' | 'texts';
  /** Of pairs: they have scores; where they do not, equal texts are of one group. */
  readonly scored?: boolean;
  /** How many labels there can be, where the model says. */
  readonly classes: number | undefined;
  /** Names of the classes, where the data has names. */
  readonly names: readonly string[] | undefined;
  /** The scores of the model, before any softmax; of pairs and texts its embedding. */
  readonly logits: string;
  readonly unit: { readonly name: string; readonly perSample: number };
  /** Of the content and how it is read. */
  readonly hash: string;
}

export interface ReadTrainingData extends TrainingData {
  /** By input of the model, and `labels`. */
  readonly columns: ReadonlyMap<string, DenseTensor>;
}

/** Tokens of a window, and of a text with a class, when nobody says. */
const WINDOW = 256;
const LONGEST_TEXT = 128;

export function trainedModel(model: Model): TrainedModel {
  return { inputs: modelInputs(model), outputs: model.graph.outputs.map(({ name }) => name), scores: findScores(model) };
}

/** Throws `E_DATA` for data that does not fit the model, or lacks labels; what `openData` throws. */
export async function readTrainingData({ inputs, outputs, scores }: TrainedModel, options: TrainingDataOptions): Promise<ReadTrainingData> {
  const { openData } = await import('@penjing/graph-io/data');
  await using source = await openData(options.data, options.columns ? { columns: options.columns } : {});
  if (source.count === 0) throw new PenjingError('E_DATA', `the data ${options.data} is empty: there is no batch to train on`);
  const hash = createHash('sha256').update(JSON.stringify([source.hash, options.length, options.scale, options.mean, options.std])).digest('hex');
  const first = await source.item(0);
  checkReading(first.kind === 'pair' ? 'text' : first.kind, inputs, options);
  if (first.kind === 'pair' || (first.kind === 'text' && embeds(outputs))) {
    const read = await embeddedColumns(outputs, source, inputs, { ...options, tokenizer: await tokenizerBeside(options.input) });
    return { ...read, logits: EMBEDDING, classes: undefined, names: undefined, hash, unit: { name: read.task, perSample: 1 } };
  }
  if (!scores) throw noScores(outputs);
  const { name: logits, rank, classes } = scores;
  const found = { logits, classes, hash, names: source.classes };
  if (first.kind === 'text' && rank === 3) {
    const windows = await languageColumns(source, inputs, options);
    return { ...found, ...windows, task: 'language', unit: { name: 'tokens', perSample: windows.length } };
  }
  if (!source.labelled) throw new PenjingError('E_DATA', `${options.data} has no labels`, { hint: 'A model with one row of scores for each sample learns classes: a column label of a .csv, "label" in .jsonl, IDX with labels beside it, or one sub-folder per class.' });
  const columns = first.kind === 'text' ? await textColumns(source, inputs, { ...options, classes }) : await itemColumns(source, inputs, { ...options, classes });
  return { ...found, columns, size: source.count, task: 'classes', unit: { name: 'samples', perSample: 1 } };
}

export interface Scores {
  readonly name: string;
  readonly rank: number | undefined;
  readonly classes: number | undefined;
}

/** The output that scores tokens or classes. A softmax at its end is left out: the loss has its own. Throws `E_INPUT` where none can be it. */
export function scoresOf(model: Model): Scores {
  const scores = findScores(model);
  if (!scores) throw noScores(model.graph.outputs.map(({ name }) => name));
  return scores;
}

const noScores = (outputs: readonly string[]): PenjingError => new PenjingError('E_INPUT', `none of the outputs ${outputs.join(', ')} is called logits`, { hint: 'Give a model with one output, or with one of this name.' });

function findScores({ graph: { outputs } }: Model): Scores | undefined {
  const named = outputs.find(({ name }) => name === 'logits') ?? (outputs.length === 1 ? outputs[0] : undefined);
  if (!named) return undefined;
  const last = named.producer?.opType === 'Softmax' || named.producer?.opType === 'LogSoftmax' ? named.producer.input(0)! : named;
  const shape = shapeOf(last) ?? shapeOf(named);
  const classes = shape?.at(-1);
  return { name: last.name, rank: shape?.length, classes: typeof classes === 'number' ? classes : undefined };
}

const shapeOf = ({ type }: Value): readonly unknown[] | undefined => (type?.kind === 'tensor' ? type.shape : undefined);

async function tokenizerBeside({ path }: { readonly path: string }): Promise<Tokenizer> {
  const { loadTokenizer } = await loadRuntime();
  return loadTokenizer((await stat(path)).isDirectory() ? path : dirname(path));
}

async function languageColumns(source: DataSource, inputs: ModelInputs, { data, input, length, signal, onProgress }: TrainingDataOptions): Promise<{ columns: Map<string, DenseTensor>; size: number; length: number }> {
  const wanted = tokenLength(inputs) ?? length ?? WINDOW;
  const tokens = await tokenStream(source, await tokenizerBeside(input), { signal, onProgress: (done, total) => onProgress?.({ phase: 'tokenize', done, total, unit: source.count > 1 ? 'texts' : 'pieces' }) });
  const windows = trainingWindows(tokens, wanted, data);
  const shape = [windows.count, windows.length];
  const columns = new Map([['input_ids', DenseTensor.of('int64', shape, windows.inputs)], ['labels', DenseTensor.of('int64', shape, windows.labels)], ...besideTokens(inputs, windows.length)]);
  return { columns, size: windows.count, length: windows.length };
}

/** Texts of different lengths, filled up to that of the longest behind a mask. */
async function textColumns(source: DataSource, inputs: ModelInputs, { input, length, signal, onProgress, ...options }: LabelledDataOptions): Promise<Map<string, DenseTensor>> {
  const fixed = tokenLength(inputs);
  const tokenizer = await tokenizerBeside(input);
  const most = fixed ?? length ?? Math.min(LONGEST_TEXT, tokenizer.maxLength ?? LONGEST_TEXT);
  const rows: number[][] = [];
  const labels: number[] = [];
  for (let i = 0; i < source.count; i++) {
    signal?.throwIfAborted();
    const item = await source.item(i);
    if (item.kind !== 'text') throw new PenjingError('E_DATA', `item ${i} of the data is no text, the first one was`);
    rows.push(encodeItem(tokenizer, item.text, most));
    labels.push(checkedLabel(i, item.label!, source, options));
    if (i % 256 === 0) {
      onProgress?.({ phase: 'tokenize', done: i, total: source.count, unit: 'texts' });
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return tokenColumns(rows, inputs, tokenizer).set('labels', labelColumn(labels));
}

interface LabelledDataOptions extends TrainingDataOptions {
  /** How many classes the model tells apart, where it says so. */
  readonly classes: number | undefined;
}

/** The label of a sample. Throws `E_DATA` for one that the model has no class for, by its place in the data: after the split nobody could find it. */
function checkedLabel(sample: number, label: number, { classes: names }: DataSource, { data, classes }: Pick<LabelledDataOptions, 'data' | 'classes'>): number {
  if (classes === undefined || label === IGNORED_LABEL || (label >= 0 && label < classes)) return label;
  throw new PenjingError('E_DATA', `sample ${sample} of ${data} has the label ${label}${names?.[label] === undefined ? '' : ` (${names[label]})`}, the model has classes from 0 to ${classes - 1}`, { hint: 'Correct the data, or train a model with as many classes.' });
}

/** Throws `E_OPTION` for words about how data is read that mean nothing for it. */
function checkReading(kind: string, inputs: ModelInputs, { length, scale, mean, std }: TrainingDataOptions): void {
  const normalised = Object.entries({ scale, mean, std }).find(([, value]) => value !== undefined)?.[0];
  if (normalised !== undefined && kind !== 'picture') throw new PenjingError('E_OPTION', `${normalised} is for pictures, the data is ${kind === 'text' ? 'text' : 'arrays'}`);
  const fixed = kind === 'text' ? tokenLength(inputs) : undefined;
  if (length !== undefined && kind !== 'text') throw new PenjingError('E_OPTION', 'a length in tokens is for texts, the data is something else');
  if (length !== undefined && fixed !== undefined && fixed !== length) throw new PenjingError('E_OPTION', `the model reads ${fixed} tokens, not ${length}`, { hint: 'Leave out --length.' });
}

const labelColumn = (labels: readonly number[]): DenseTensor => denseOf('int64', [labels.length], labels);

/** Pictures and arrays: a sample has a batch of one. */
async function itemColumns(source: DataSource, inputs: ModelInputs, options: LabelledDataOptions): Promise<Map<string, DenseTensor>> {
  const labels: number[] = [];
  const columns = new Map<string, DenseTensor>();
  for (let i = 0; i < source.count; i++) {
    const item = await source.item(i);
    if (item.kind !== 'picture' && item.kind !== 'tensors') throw new PenjingError('E_DATA', `item ${i} of the data is ${item.kind}: classes are learned of texts, pictures and arrays`);
    const feeds: Feeds = item.kind === 'picture' ? pictureFeeds(inputs, item.picture, options) : arrayFeeds(inputs, item.tensors, `sample ${i}`);
    for (const [name, tensor] of Object.entries(feeds) as [string, DenseTensor][]) {
      const [batch = 1, ...inner] = tensor.shape;
      if (dtypes[tensor.dtype].kind === 'float' && !(tensor.data as Float32Array).every(Number.isFinite)) throw new PenjingError('E_DATA', `sample ${i} of ${options.data} has values in ${name} that are not finite`, { hint: 'Leave it out: nothing can be learned from NaN or infinity.' });
      if (batch !== 1) throw new PenjingError('E_DATA', `sample ${i} has ${name} as [${tensor.shape.join(', ')}]: one sample at a time is needed`);
      const column = columns.get(name) ?? new DenseTensor(tensor.dtype, [source.count, ...inner], new Uint8Array(tensor.byteLength * source.count));
      if (tensor.byteLength * source.count !== column.byteLength) throw new PenjingError('E_DATA', `sample ${i} has ${name} as [${tensor.shape.join(', ')}], the first one as [1, ${column.shape.slice(1).join(', ')}]`, { hint: 'Samples of a batch have one shape.' });
      column.bytes.set(tensor.bytes, i * tensor.byteLength);
      columns.set(name, column);
    }
    labels.push(checkedLabel(i, item.label!, source, options));
    if (i % 256 === 0) {
      options.signal?.throwIfAborted();
      options.onProgress?.({ phase: 'read', done: i, total: source.count, unit: 'samples' });
    }
  }
  return columns.set('labels', labelColumn(labels));
}
